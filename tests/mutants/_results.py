"""What the trials of mutants have shown, kept from run to run."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.mutants._operators import Mutant
from tests.mutants._trial import ROOT, Ending, Result

KEPT = ROOT / ".cache" / "mutants"


class Results:
    """Results by mutant; one that was tried with another text of its file counts no more."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, dict[str, Any]] = {}
        if file.exists():
            self._kept = json.loads(file.read_text())

    def of(self, mutant: Mutant) -> Result | None:
        found = self._kept.get(mutant.key)
        if found is None or found["text"] != _text_of(mutant.path):
            return None
        ending = Ending[found["ending"]]
        return Result(ending, found["test"], found["said"], found["seconds"], found["cpu"])

    def add(self, mutant: Mutant, result: Result) -> None:
        found = asdict(replace(result)) | {"ending": result.ending.name}
        self._kept[mutant.key] = found | {"text": _text_of(mutant.path)}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._kept, indent=1, sort_keys=True))


def _text_of(path: str) -> str:
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16]


KILLS = (Ending.ASSERTED, Ending.RAISED, Ending.WAITED, Ending.HUNG)


def table_of(results: Iterable[tuple[Mutant, Result]]) -> Table:
    """A row for each file: what killed its mutants, and how many survived."""
    by_file: dict[str, Counter[Ending]] = {}
    for mutant, result in results:
        by_file.setdefault(mutant.path, Counter())[result.ending] += 1
    table = Table(title="Mutants")
    table.add_column("file")
    for column in ("mutants", "killed", "assertion", "raised", "waited", "hung", "survived"):
        table.add_column(column, justify="right")
    total = Counter[Ending]()
    for path, endings in by_file.items():
        total += endings
        table.add_row(path.removeprefix("walnats_anyio/"), *_row(endings))
    table.add_section()
    table.add_row("all", *_row(total))
    return table


def _row(endings: Counter[Ending]) -> list[str]:
    killed = sum(endings[each] for each in KILLS)
    survived = endings[Ending.SURVIVED]
    counts = [killed + survived, killed, *(endings[each] for each in KILLS), survived]
    return [str(count) for count in counts]


def share_killed(results: Iterable[tuple[Mutant, Result]], same: Container[str] = ()) -> float:
    """The part that was killed, from 0 to 1.

    Args:
        results: the mutants, and what became of them.
        same: the keys of those that do not count, as nothing can be seen of their change.
    """
    endings = Counter(result.ending for mutant, result in results if mutant.key not in same)
    killed = sum(endings[each] for each in KILLS)
    return killed / ((killed + endings[Ending.SURVIVED]) or 1)
