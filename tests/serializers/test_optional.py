"""A serializer with an optional package is imported when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from walnats_anyio import serializers

ROOT = Path(__file__).parent.parent.parent

NEEDS = {
    "ProtobufSerializer": ("google.protobuf", "protobuf"),
    "MarshmallowSerializer": ("marshmallow", "marshmallow"),
    "FernetSerializer": ("cryptography", "fernet"),
}

MISSING = f"""
import sys
import walnats_anyio
from walnats_anyio import serializers
walnats_anyio.Event("x", int, serializers.GZipSerializer(int)).encode(1)
packages = {{package for package, _ in {NEEDS!r}.values()}} | {{"apispec"}}
assert not packages & sys.modules.keys(), packages & sys.modules.keys()
for package in packages:
    sys.modules[package] = None  # as if it were not installed
for name, (package, extra) in {NEEDS!r}.items():
    try:
        getattr(serializers, name)
    except ImportError as error:
        assert package.partition(".")[0] in str(error), error
        assert f"pip install 'walnats-anyio[{{extra}}]'" in str(error), error
    else:
        raise AssertionError(name)
print("named")
"""


def test_a_missing_package_names_its_extra() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", MISSING], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.split() == ["named"]


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_installed_is_there(name: str) -> None:
    found = getattr(serializers, name)
    assert issubclass(found, serializers.Serializer)
    assert found.__module__ == "walnats_anyio.serializers"
    assert name in dir(serializers)


def test_a_schema_nobody_knows_is_told_what_would_work() -> None:
    with pytest.raises(LookupError) as caught:
        serializers.get_serializer(complex)
    told = str(caught.value)
    for schemas, extra in [("protobuf messages", "protobuf"), ("schemas", "marshmallow")]:
        assert f"{schemas} (pip install 'walnats-anyio[{extra}]')" in told
    assert "fernet" not in told
