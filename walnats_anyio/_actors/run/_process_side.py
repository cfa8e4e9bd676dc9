"""What runs in a worker process: a loop of ours around the handlers.

Theory of operation. The parent starts `python -c BOOT`, with a pipe at 0 for requests, one at 1 for
answers, and one that only ends with the parent. All are moved away at once, so that nothing which a
handler prints, reads or closes reaches them; 1 becomes the parent's own standard output. A request
is one job, with its handler and message pickled. The answers to it, a line of JSON each, are any
number of log records, that the handler has started, and how it ended. So only plain data comes
back, whatever a handler raises or returns; a response is encoded here.

The main program is imported only where a pickle asks for it, as `__mp_main__`, and inside of an
event loop. So a program without a guard cannot start its own: `anyio.run` and `asyncio.run` refuse,
before anything of it has run. Whatever keeps it from being imported is told with the guard.
"""

from __future__ import annotations

import base64
import contextvars
import importlib.util
import io
import os
import pickle
import sys
import traceback
from dataclasses import asdict, dataclass
from types import CodeType, ModuleType
from typing import Any

import anyio

from walnats_anyio._actors.run._answering import Answering
from walnats_anyio._actors.run._calling import call
from walnats_anyio._actors.run._channel import READY, Channel
from walnats_anyio._actors.run._failure import MAIN_NAMES, Failure
from walnats_anyio._actors.run._logs import ForwardingHandler, Levels
from walnats_anyio._actors.run._process_state import ProcessState
from walnats_anyio._actors.run._surroundings import Surroundings, default_signals, shelter
from walnats_anyio._letters import frames_of
from walnats_anyio._link._again import GUARD, enter_worker_process, in_handler

BOOT = (
    f"import sys; sys.path[:] = sys.argv[3:]; from {__name__} import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
"""What the interpreter of a worker process runs; the arguments are those of `serve`, and the path
where modules are found."""


@dataclass(frozen=True, slots=True)
class MainProgram:
    """How to find the main program of the parent."""

    arguments: list[str]
    """Its `sys.argv`."""

    name: str | None
    """The name of its module, where it was started with `python -m`."""

    path: str | None
    """Its file. None: it has none, such as an interactive session."""

    backend: str
    """The event loop that it runs on: asyncio or trio."""


@dataclass(frozen=True, slots=True)
class Request:
    """A job for a worker process."""

    actor: str
    event: str
    job: bytes
    """The handler and the message, pickled."""

    main: MainProgram
    levels: Levels
    """What the parent logs."""


def serve(stdout: int, parent: int) -> None:
    """Run jobs until the parent closes the pipe of requests, or dies.

    Args:
        stdout: the number of the file that is to be standard output.
        parent: the number of the pipe that ends with the parent.
    """
    shelter()
    channel = Channel(stdout, parent)
    enter_worker_process()
    side = _Side(channel)
    channel.write(READY)
    while (received := channel.receive()) is not None:
        channel.busy()
        answer = side.run(pickle.loads(received))
        channel.idle()
        channel.send(answer)


class _Side:
    """Runs jobs, one after another."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._logs = ForwardingHandler(channel)
        self._surroundings = Surroundings()
        self._before: ProcessState | None = None
        """What was set when the handler began: after its module, which may have set things, too."""
        self._pid = os.getpid()
        os.register_at_fork(after_in_child=self._forked)

    def run(self, request: Request) -> dict[str, Any]:
        """Run one job; gives the last answer to it."""
        self._logs.begin(request.actor, request.event, request.levels)
        failure, loaded, response = self._try(request)
        if os.getpid() != self._pid:
            os._exit(failure is not None)  # a child that the handler forked came back from it
        usable = loaded and self._restore()
        ended = None if failure is None else asdict(failure)
        return {"ended": ended, "usable": usable, "response": response}

    def _restore(self) -> bool:
        """Undo what the job has done to the process; False: another one is to take its place."""
        try:
            if self._before is not None:
                self._before.restore()
            self._surroundings.restore()
        except BaseException:  # noqa: BLE001 - what a handler has left there can raise anything
            return False
        return True

    def _try(self, request: Request) -> tuple[Failure | None, bool, str | None]:
        try:
            handler, message = _Unpickler(request).load()
            self._logs.install()  # the program may have replaced it
            self._before = ProcessState()
            self._channel.send({"started": True})
        except BaseException as error:  # noqa: BLE001 - also `sys.exit` in a module
            return Failure.of(error, _own(error)), False, None
        try:
            contextvars.copy_context().run(_handle, handler, message)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is the job's end only
            return Failure.of(error, _own(error)), True, None
        if isinstance(handler, Answering):
            return None, True, base64.b64encode(handler.response or b"").decode()
        return None, True, None

    def _forked(self) -> None:
        """In a child that a handler forks: it is a program of its own."""
        self._channel.close()
        default_signals()


def _handle(handler: Any, message: Any) -> None:
    in_handler.set(True)
    call(handler, message)


def _own(error: BaseException) -> Any:
    """The user's part of a traceback: what comes after our frames."""
    here = frames_of(error)
    ours = (__file__, call.__code__.co_filename, Answering.__call__.__code__.co_filename)
    while here is not None and here.tb_frame.f_code.co_filename in ours:
        here = here.tb_next
    return here


class _Unpickler(pickle.Unpickler):
    """Unpickles a job; imports the main program where it is needed, and only there."""

    def __init__(self, request: Request) -> None:
        super().__init__(io.BytesIO(request.job))
        self._main = request.main

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name in MAIN_NAMES:
            _import_main(self._main)
        return super().find_class(module_name, global_name)


def _import_main(main: MainProgram) -> None:
    """Import the main program of the parent as `__mp_main__`, unless it is there.

    Raises:
        RuntimeError: it has no file, or cannot be imported, for instance as it has no guard.
    """
    if "__mp_main__" in sys.modules:
        return
    if main.path is None:
        raise RuntimeError(
            "the handler, or the class of its message, was typed into an interactive session, or "
            "came from standard input or `python -c`, where a worker process cannot find it: put "
            "it into a module"
        )

    async def import_it() -> BaseException | None:
        try:
            _execute_main(main, main.path or "")
        except BaseException as error:  # noqa: BLE001 - also `sys.exit` of a program without guard
            return error
        return None

    # In an event loop, so that the program cannot start another one of the kind.
    error = anyio.run(import_it, backend=main.backend)
    if error is not None and GUARD in str(error):
        raise error
    if error is not None:
        error.__traceback__ = _of_program(error, main.path)
        words = " ".join(traceback.format_exception_only(error)).strip()
        raise RuntimeError(
            f"the main program {main.path} cannot be imported in a worker process ({words}): "
            f"{GUARD}"
        ) from error


def _execute_main(main: MainProgram, path: str) -> None:
    module = ModuleType("__mp_main__")
    module.__file__ = path
    sys.modules.pop("__main__", None)  # or the finder would take it for an answer
    code, package = _code_of(main, path)
    if package is not None:
        module.__package__ = package
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    sys.argv[:] = main.arguments
    exec(code, module.__dict__)


def _code_of(main: MainProgram, path: str) -> tuple[CodeType, str | None]:
    if main.name is not None:
        spec = importlib.util.find_spec(main.name)
        # Not by its class: that of zip files is none of an `InspectLoader`.
        get_code = None if spec is None else getattr(spec.loader, "get_code", None)
        if spec is not None and get_code is not None:
            code = get_code(main.name)
            if code is not None:
                return code, spec.parent
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec"), None


def _of_program(error: BaseException, path: str) -> Any:
    """The part of a traceback that begins in the program's own file."""
    here = error.__traceback__
    while here is not None and here.tb_frame.f_code.co_filename != path:
        here = here.tb_next
    return here
