"""Every Python block in README and docs runs, on both backends; a page is one program."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import anyio
import anyio.to_thread
import pytest

from tests.docs._blocks import ALL_BLOCKS, PAGES, ROOT, Block, blocks_of
from tests.support.waiting import DEADLINE

LANGUAGES = {"python", "bash", "text", "toml", "yaml"}

# Blocks with a title are files of docs/examples, which have tests of their own.
PROGRAMS = {
    page: [b for b in blocks_of(page) if b.language == "python" and b.title is None]
    for page in PAGES
}
ELSEWHERE = {ROOT / "docs" / "guides" / "linter.md": "tests/linter/test_page.py"}
"""Pages whose blocks are no program, and the tests that run them."""

RUNNABLE = [page for page, blocks in PROGRAMS.items() if blocks and page not in ELSEWHERE]


@dataclass(frozen=True)
class NotRun:
    """A block that some backend cannot run, and why."""

    page: str
    piece: str
    backends: tuple[str, ...]
    reason: str

    def matches(self, block: Block) -> bool:
        return block.place.startswith(f"{self.page}:") and self.piece in block.text


NOT_RUN = [
    NotRun(
        "docs/guides/connecting.md",
        "one.example.com",
        ("asyncio", "trio"),
        "the servers do not exist; that a list is taken is tested in tests/link",
    ),
    NotRun(
        "docs/guides/connecting.md",
        "import nats\n",
        ("trio",),
        "a `nats.NATS` lives on asyncio only, as the page says",
    ),
]


def runs_on(block: Block, backend: str) -> bool:
    return not any(entry.matches(block) and backend in entry.backends for entry in NOT_RUN)


@pytest.fixture
def page_module() -> Iterator[ModuleType]:
    """Make a module for the names of a page: dataclasses look their annotations up in one."""
    module = ModuleType("page_under_test")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


async def run(block: Block, module: ModuleType) -> None:
    """Run a block, in which `await` may stand at the top level."""
    padded = "\n" * block.line + block.text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(padded, str(block.page), "exec", flags=flags, dont_inherit=True)
    result = eval(code, module.__dict__)
    if inspect.isawaitable(result):
        await result


async def call_tests(module: ModuleType, nats_url: str) -> None:
    """Call the tests that a page defines, as pytest would with the fixture they ask for."""
    for name, value in list(vars(module).items()):
        if name.startswith("test_") and inspect.iscoroutinefunction(value):
            await value(nats_url)
        elif name.startswith("test_"):
            await anyio.to_thread.run_sync(value)  # it may run an event loop of its own


@pytest.mark.anyio
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
async def test_the_page_runs(
    page: Path,
    page_module: ModuleType,
    nats_url: str,
    anyio_backend_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NATS_SERVER", nats_url)
    with anyio.fail_after(2 * DEADLINE):
        for block in PROGRAMS[page]:
            if runs_on(block, anyio_backend_name):
                await run(block, page_module)
        await call_tests(page_module, nats_url)


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.place)
def test_the_language_of_a_block_is_one_that_is_tested(block: Block) -> None:
    assert block.language in LANGUAGES


@pytest.mark.parametrize("entry", NOT_RUN, ids=lambda entry: entry.piece.strip())
def test_every_exception_is_still_needed(entry: NotRun) -> None:
    assert len([block for block in ALL_BLOCKS if entry.matches(block)]) == 1
