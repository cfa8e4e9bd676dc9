"""What is installed: the wheel holds the package and says what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import walnats_anyio

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel with the project's own build backend, which the test extra installs."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [built] = directory.glob("*.whl")
    return zipfile.ZipFile(built)


def text_of(wheel: zipfile.ZipFile, suffix: str) -> str:
    [name] = [name for name in wheel.namelist() if name.endswith(suffix)]
    return wheel.read(name).decode()


def test_the_wheel_holds_every_module_and_the_type_marker(wheel: zipfile.ZipFile) -> None:
    package = ROOT / "walnats_anyio"
    expected = {str(file.relative_to(ROOT)) for file in package.rglob("*.py")}
    expected.add("walnats_anyio/py.typed")
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_carries_the_licence(wheel: zipfile.ZipFile) -> None:
    assert text_of(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_metadata_says_what_is_needed(wheel: zipfile.ZipFile) -> None:
    metadata = HeaderParser().parsestr(text_of(wheel, "METADATA"))
    assert metadata["Name"] == "walnats-anyio"
    assert metadata["Version"] == walnats_anyio.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.split(">=")[0] for line in needed) == ["anyio", "msgspec"]


def test_the_page_on_pypi_has_no_link_into_nowhere(wheel: zipfile.ZipFile) -> None:
    """There the README stands alone: a link to a file beside it leads nowhere."""
    metadata = HeaderParser().parsestr(text_of(wheel, "METADATA"))
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL", []))
    assert set(urls) == {"Homepage", "Documentation", "Changelog", "Issues"}
    page = str(metadata.get_payload())
    links = re.findall(r"\]\(([^)]+)\)|^\[.+\]: (.+)$", page, re.MULTILINE)
    assert links
    ours = f"{urls['Homepage']}/blob/main/"
    for link in map("".join, links):
        assert link.startswith("https://"), link
        if link.startswith(urls["Homepage"]):
            assert (ROOT / link.removeprefix(ours)).is_file(), link


def test_every_extra_for_users_is_in_all() -> None:
    extras = PROJECT["optional-dependencies"]
    for_developers = {"examples", "test", "lint", "mutants", "types", "docs", "manifests", "dev"}
    [everything] = extras["all"]
    named = everything.removeprefix("walnats-anyio[").removesuffix("]").split(",")
    assert set(named) == extras.keys() - for_developers - {"all"}


def test_the_wheel_has_its_entry_points(wheel: zipfile.ZipFile) -> None:
    entry_points = text_of(wheel, "entry_points.txt")
    assert "walnats-anyio = walnats_anyio.cli:main" in entry_points
    assert "[pytest11]" in entry_points


def test_importing_the_package_needs_no_extra() -> None:
    """What an extra installs must not be imported by who did not ask for it."""
    optional = {"trio", "trio_asyncio", "typer", "rich", "pytest"}
    code = f"import sys, walnats_anyio; print(*sorted({optional!r} & sys.modules.keys()))"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.split() == []


def test_a_start_imports_nothing_that_takes_long_and_is_rarely_used() -> None:
    """Every start of the command line pays for what is imported, 10 to 40 ms each of these."""
    costly = {
        "importlib.metadata",
        "http.client",
        "urllib.request",
        "walnats_anyio.cli._demo",
        "walnats_anyio.linter",
        "walnats_anyio.testing",
    }
    start = "import sys, walnats_anyio.cli._app, walnats_anyio.cli._run"
    code = f"{start}; print(*sorted({costly!r} & sys.modules.keys()))"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.split() == []


def test_every_public_name_is_there() -> None:
    for name in walnats_anyio.__all__:
        assert hasattr(walnats_anyio, name), name
