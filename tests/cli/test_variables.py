"""Every option of `run` can be given by an environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.cli.test_app import invoke
from walnats_anyio.cli._app import app

RUN: Any = typer.main.get_group(app).commands["run"]

# typer has a click of its own, or uses the one that is installed.
OPTIONS: list[Any] = [
    each
    for each in RUN.params
    if each.param_type_name == "option" and not each.hidden and each.name != "help"
]

VALUES: dict[str, tuple[str, Any]] = {
    "server": ("nats://a:1", ["nats://a:1"]),
    "actors": ("pack ship", ["pack", "ship"]),
    "backend": ("trio", "trio"),
    "max_memory": ("1.5GiB", 3 * 2**29),
    "health_host": ("0.0.0.0", "0.0.0.0"),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "register": ("0", False),
}
"""What a variable says and what comes of it, where that is no number, name or file."""


def name_of(option: Any) -> str:
    """The variable that the option's longest name asks for."""
    longest: str = max(option.opts, key=len)
    return "WALNATS_" + longest.removeprefix("--").replace("-", "_").upper()


TEXTS = {"user", "password", "domain", "js_prefix", "namespace"}
FILES = {"creds", "nkey", "tls_ca", "tls_cert", "tls_key", "log_config", "json"}
DIRECTORIES = {"app_dir", "reload_dirs"}


def example(option: Any, directory: Path) -> tuple[str, Any]:
    """What the variable of an option may say, and what comes of it."""
    if option.name in VALUES:
        return VALUES[option.name]
    if option.name in TEXTS:
        return "text", "text"
    if option.name in DIRECTORIES:
        return str(directory), [directory] if option.multiple else directory
    if option.name in FILES:
        file = directory / "file.toml"
        file.touch()
        return str(file), file
    return ("1", True) if option.is_flag else ("7", 7)


def value_of(option: Any, *words: str) -> Any:
    with RUN.make_context("run", ["shop:ACTORS", *words]) as context:
        return context.params[option.name]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_has_a_variable_that_counts(
    option: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said, wanted = example(option, tmp_path)
    monkeypatch.setenv(name_of(option), said)
    value = value_of(option)
    # Several values are a tuple before typer 0.29.
    assert (list(value) if isinstance(value, tuple) else value) == wanted


def test_the_command_line_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALNATS_MAX_JOBS", "7")
    [option] = [each for each in OPTIONS if each.name == "max_jobs"]
    assert value_of(option, "--max-jobs", "8") == 8


def test_all_of_them_are_looked_at() -> None:
    assert len(OPTIONS) > 35


def test_the_help_shows_the_variables() -> None:
    _, shown = invoke("run", "--help")
    # A line may end within a name.
    shown = "".join(shown.split())
    for option in OPTIONS:
        assert f"envvar:{name_of(option)}" in shown


def test_what_a_variable_says_is_named_when_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WALNATS_MAX_MEMORY", "512M")
    code, shown = invoke("run", "shop:ACTORS")
    assert code == 2
    assert "WALNATS_MAX_MEMORY" in shown
    assert "512MiB" in shown
