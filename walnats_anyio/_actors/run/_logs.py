"""Log records of handlers on their way through the parent's logging."""

from __future__ import annotations

import logging
import os
import traceback
from dataclasses import dataclass
from typing import Any, cast

from walnats_anyio._actors.run._channel import Channel
from walnats_anyio._actors.run._failure import MAIN_NAMES


@dataclass(frozen=True, slots=True)
class Levels:
    """What a program logs: nothing else needs to be sent to it."""

    disabled: int
    """Records up to this level are dropped: `logging.disable`."""

    root: int
    """The level of the root logger."""

    loggers: dict[str, int]
    """The levels of the other loggers that have one."""

    @classmethod
    def now(cls) -> Levels:
        """The levels of this process."""
        manager = logging.root.manager
        return cls(
            manager.disable,
            logging.root.level,
            {
                name: logger.level
                for name, logger in list(manager.loggerDict.items())
                if isinstance(logger, logging.Logger) and logger.level
            },
        )

    @property
    def hold_for_all(self) -> bool:
        """Whether what is not of one logger alone is so in this process."""
        return (self.disabled, self.root) == (logging.root.manager.disable, logging.root.level)

    def apply(self) -> None:
        """Have these levels in this process."""
        logging.disable(self.disabled)
        logging.root.setLevel(self.root)
        for name, level in self.loggers.items():
            logging.getLogger(name).setLevel(level)


class ForwardingHandler(logging.Handler):
    """Sends records to the parent, which decides what becomes of them."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._pid = os.getpid()
        self._levels: Levels | None = None
        self._actor = self._event = ""

    def begin(self, actor: str, event: str, levels: Levels) -> None:
        """A job of this actor begins."""
        self._actor, self._event = actor, event
        self.install()
        # The last handler may have changed what holds for all.
        if levels != self._levels or not levels.hold_for_all:
            levels.apply()
            self._levels = levels

    def install(self) -> None:
        """Be the only handler of the root logger, as the parent has the others."""
        if logging.root.handlers != [self]:
            logging.root.handlers[:] = [self]
            if self._levels is not None:
                self._levels.apply()

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._pid:
            # In a child that the handler forked: the pipe is not its own.
            if logging.lastResort is not None:
                logging.lastResort.emit(record)
            return
        try:
            self._channel.send(
                {"log": _plain(record) | {"actor": self._actor, "event": self._event}}
            )
        except Exception:  # noqa: BLE001 - as every handler of `logging`
            self.handleError(record)


def log_again(plain: dict[str, Any]) -> None:
    """Log in this process what was logged in another one."""
    record = logging.makeLogRecord(plain)
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def _plain(record: logging.LogRecord) -> dict[str, Any]:
    values = {name: _simple(value) for name, value in record.__dict__.items()}
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        values["exc_text"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    name = "__main__" if record.name in MAIN_NAMES else record.name
    return values | {"name": name, "msg": record.getMessage(), "args": None, "exc_info": None}


def _simple(value: object) -> Any:
    """The value itself where JSON has it, else its words."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_simple(each) for each in cast("list[object]", value)]
    return repr(value)
