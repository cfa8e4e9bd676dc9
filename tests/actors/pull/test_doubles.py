"""What an actor remembers of the delayed events that it is done with."""

from __future__ import annotations

import pytest

from walnats_anyio._actors.pull import _doubles
from walnats_anyio._actors.pull._doubles import DoneSchedules


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a worker that never stops would need more and more memory."""
    monkeypatch.setattr(_doubles, "REMEMBERED", 3)
    done = DoneSchedules()
    for number in (0, 1, 2, 2, 3, 4):
        done.add(str(number))
    assert [number for number in range(6) if str(number) in done] == [2, 3, 4]
