"""Whether the memory of a process stays flat."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Memory:
    """What a process held, second by second."""

    pid: int

    samples: list[tuple[float, int]] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Note what it holds now: its resident set, in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.samples.append((now, pages * PAGE))

    @property
    def now(self) -> float:
        """What it held when it was last looked at, in MiB."""
        return self.samples[-1][1] / 2**20 if self.samples else 0.0

    @property
    def slope(self) -> float:
        """How it grew, in MiB a minute, over the second half: the first one fills what is kept."""
        later = self.samples[len(self.samples) // 2 :]
        if len(later) < 2:
            return 0.0
        times, sizes = zip(*later, strict=True)
        return linear_regression(times, sizes).slope * 60 / 2**20
