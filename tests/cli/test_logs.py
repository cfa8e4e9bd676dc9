"""What `run` logs: levels, configurations, and loggers that a configuration had disabled."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from tests.cli._command import report_in, started
from tests.cli._supervised import all_ready, run_two
from tests.cli.conftest import Shop, on_one_loop

CONFIG = {
    "version": 1,
    "formatters": {"mine": {"format": "mine %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"level": "INFO", "handlers": ["out"]},
}

TOML = """
version = 1
formatters.mine.format = "mine %(levelname)s %(name)s: %(message)s"
handlers.out = { class = "logging.StreamHandler", formatter = "mine" }
root = { level = "INFO", handlers = ["out"] }
"""

INI = """
[loggers]
keys=root
[handlers]
keys=out
[formatters]
keys=mine
[logger_root]
level=INFO
handlers=out
[handler_out]
class=StreamHandler
args=(sys.stderr,)
formatter=mine
[formatter_mine]
format=mine %(levelname)s %(name)s: %(message)s
"""

TALKS = """
import logging, shop
logging.getLogger("talks").info("imported")
ACTORS = shop.ACTORS
"""


def stopped(shop: Shop, url: str, *words: str, target: str = "shop:ACTORS") -> str:
    """Run until ready, which the report says, then stop; gives the output."""
    report = shop.directory / "report.json"
    report.unlink(missing_ok=True)
    with started(
        shop.directory, "run", target, "--json", str(report), *words, NATS_SERVER=url
    ) as command:
        report_in(report, "running")
        command.send(signal.SIGTERM)
        assert command.ends() == 0, command.output
        return command.output


@pytest.mark.parametrize(
    ("name", "text"), [("log.json", json.dumps(CONFIG)), ("log.toml", TOML), ("log.ini", INI)]
)
def test_a_configuration_in_a_file(shop: Shop, nats_url: str, name: str, text: str) -> None:
    (shop.directory / name).write_text(text)
    (shop.directory / "talks.py").write_text(TALKS)
    said = stopped(shop, nats_url, "--log-config", name, target="talks:ACTORS")
    assert "mine INFO talks: imported" in said
    assert "mine INFO walnats_anyio.run: ready" in said
    assert "mine INFO walnats_anyio.actors: listened" in said
    assert all(line.startswith("mine ") for line in said.splitlines())


def test_the_configuration_on_the_page_is_one(shop: Shop, nats_url: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    [text] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (shop.directory / "log.toml").write_text(text)
    said = stopped(shop, nats_url, "--log-config=log.toml")
    assert re.search(r" \d+ INFO walnats_anyio.run: ready", said)


@on_one_loop("trio")
def test_the_supervisor_and_its_workers_log_by_the_same_configuration(
    shop: Shop, nats_url: str, backend: str
) -> None:
    (shop.directory / "log.json").write_text(json.dumps(CONFIG))
    with run_two(shop, nats_url, backend, "--log-config=log.json") as command:
        all_ready(command)
        command.send(signal.SIGTERM)
        assert command.ends() == 0
        assert all(line.startswith("mine ") for line in command.output.splitlines())
        assert "mine INFO walnats_anyio.run: worker 1 (" in command.output


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("log.json", "{", "is no logging configuration: Expecting property name"),
        ("log.json", "[]", "it holds list, not an object"),
        ("log.json", "{}", "dictionary doesn't specify a version"),
        ("log.toml", "version = ", "is no logging configuration: Invalid value"),
        ("log.ini", "[loggers]", "is no logging configuration"),
        ("log.yaml", "version: 1", "is none of .json, .toml, .ini, .cfg, .conf"),
        (
            "log.json",
            json.dumps({"version": 1, "handlers": {"x": {"class": "no.Such"}}}),
            "Unable to configure handler 'x': Cannot resolve 'no.Such'",
        ),
    ],
)
def test_a_bad_configuration_is_a_sentence(shop: Shop, name: str, text: str, said: str) -> None:
    (shop.directory / name).write_text(text)
    with started(shop.directory, "run", "shop:ACTORS", "--log-config", name) as command:
        assert command.ends() == 2
        assert said in command.output
        assert "hint: " in command.output
        assert "Traceback" not in command.output


def test_a_configuration_that_is_not_there(shop: Shop) -> None:
    with started(shop.directory, "run", "shop:ACTORS", "--log-config=none.json") as command:
        assert command.ends() == 2
        assert "none.json" in command.output
        assert "does not exist" in command.output


@pytest.mark.parametrize("where", ["the file", "the module"])
def test_loggers_that_were_disabled_are_enabled_again(
    shop: Shop, nats_url: str, where: str
) -> None:
    disabling = {**CONFIG, "disable_existing_loggers": True}
    (shop.directory / "log.json").write_text(json.dumps(disabling))
    module = "import logging.config, shop\nACTORS = shop.ACTORS\n"
    words = ["--log-config=log.json"]
    if where == "the module":
        # As in many programs: the default of `dictConfig` disables what is imported before.
        module += f"logging.config.dictConfig({CONFIG!r})\n"
        words = []
    (shop.directory / "quiet.py").write_text(module)
    said = stopped(shop, nats_url, *words, target="quiet:ACTORS")
    assert "mine WARNING walnats_anyio.run: the logging configuration had disabled" in said
    assert '"disable_existing_loggers" to false' in said
    assert "mine INFO walnats_anyio.actors: listened" in said


def test_quiet(shop: Shop, nats_url: str) -> None:
    assert stopped(shop, nats_url, "--quiet") == ""
    assert stopped(shop, nats_url, "-q", "--workers=2") == ""


def test_levels(shop: Shop, nats_url: str) -> None:
    assert stopped(shop, nats_url, "--log-level=warning") == ""
    (shop.directory / "talks.py").write_text(
        "import atexit, logging, shop\n"
        "ACTORS = shop.ACTORS\n"
        "atexit.register(lambda: logging.getLogger('talks').debug('bye'))\n"
    )
    assert "bye" not in stopped(shop, nats_url, target="talks:ACTORS")
    assert "DEBUG talks: bye" in stopped(
        shop, nats_url, "--log-level", "DEBUG", target="talks:ACTORS"
    )


def test_quiet_and_a_level_contradict_each_other(shop: Shop) -> None:
    words = ("run", "shop:ACTORS", "--quiet", "--log-level=info")
    with started(shop.directory, *words) as command:
        assert command.ends() == 2
        assert "--quiet and --log-level info contradict each other" in command.output


def test_a_module_that_logs_warnings_only_still_shows_that_it_runs(
    shop: Shop, nats_url: str, tmp_path: Path
) -> None:
    (tmp_path / "warns.py").write_text(
        "import logging, shop\nlogging.basicConfig(format='mine %(message)s')\n"
        "ACTORS = shop.ACTORS\n"
    )
    said = stopped(shop, nats_url, target="warns:ACTORS")
    assert "mine ready; Ctrl-C stops gracefully" in said
    assert "listened" not in said
