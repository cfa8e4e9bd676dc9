"""What can be wrong with a dead letter that is asked for or put back."""

from __future__ import annotations

from walnats_anyio._letters import STREAM
from walnats_anyio._link import WalnatsError
from walnats_anyio.dead_letters._unreadable import UnreadableLetter


class LetterNotFoundError(WalnatsError):
    """There is no such dead letter: it was requeued or discarded, or a limit made it go."""

    number: int = 0
    """The number that was asked for, where it was one of many; else 0."""


class UnreadableLetterError(LetterNotFoundError):
    """There is a message of that number, but no dead letter that can be read.

    It can be discarded: `discard` takes its number or `letter`.
    """

    letter: UnreadableLetter
    """The message as it is stored, and why it cannot be read."""

    def __init__(self, letter: UnreadableLetter) -> None:
        super().__init__(
            f"message {letter.number} of stream {STREAM!r} is no dead letter that can be read: "
            f"{letter.problem}"
        )
        self.letter = letter

    def __reduce__(self) -> tuple[type[UnreadableLetterError], tuple[UnreadableLetter]]:
        # An exception is pickled with its message as the one argument, unless told otherwise.
        return type(self), (self.letter,)


class RequeueError(WalnatsError):
    """A dead letter could not be put back; it is kept."""
