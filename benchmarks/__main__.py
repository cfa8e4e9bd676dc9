"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import anyio
import msgspec
from rich.console import Console

from benchmarks import protocol, serializers
from benchmarks._benchmarks import BENCHMARKS, Benchmark
from benchmarks._candidates import Candidate
from benchmarks._chart import draw
from benchmarks._harness import Plan, measure, server_at
from benchmarks._machine import versions
from benchmarks._report import footer, show, write_markdown
from benchmarks._results import Results, judge
from walnats_anyio.tune._machine import machine

QUICK = Plan(rounds=1, scale=0.1, window=5)


def main(argv: list[str] | None = None) -> int:
    """Run or re-read benchmarks, show them, write the files asked for.

    Returns:
        0 if every run finished; 1 if one did not, or with ``--strict`` if a bar was missed.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["protocol"]:
        return protocol.main(argv[1:])
    if argv[:1] == ["serializers"]:
        return serializers.main(argv[1:])
    arguments = parse(argv)
    # A pipe has no width of its own; the tables need this much.
    console = Console(width=None if sys.stdout.isatty() else 110)
    if arguments.from_json:
        results = msgspec.json.decode(arguments.from_json.read_bytes(), type=Results)
        for result in results.benchmarks:
            show(result, console)
    else:
        # Whoever ends this process means the worker and the server as well, as Ctrl-C does.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
        results = anyio.run(run, arguments, console)
    console.print(footer(results), style="dim", highlight=False)
    if arguments.markdown:
        write_markdown(results, arguments.markdown)
    if arguments.chart:
        draw(results, arguments.chart)
    failed = any(result.errors() for result in results.benchmarks)
    return int(failed or (arguments.strict and missed(results)))


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the program with the reason."""
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {names}; patterns such as 'emit*' (default: all)",
    )
    add = parser.add_argument
    add("--rounds", type=positive, help="runs of each candidate (default: 5)")
    add("--events", type=positive, help="events of each run (default: what each benchmark says)")
    add("--quick", action="store_true", help="one round of a tenth of everything")
    add("--backend", choices=("asyncio", "trio", "both"), default="both", help="for this library")
    add("--only", action="append", metavar="TEXT", help="candidates with the text in their name")
    add(
        "--against",
        type=checkout,
        metavar="PATH",
        help="run another checkout of this project as well, called `before`, and compare with it",
    )
    add("--server", metavar="URL", help="a running server with JetStream (default: start one)")
    add(
        "--profile",
        type=Path,
        metavar="DIR",
        help="profile this library alone, for one round (not latency, sleepers)",
    )
    add("--from", dest="from_json", type=Path, metavar="FILE", help="show the results of --json")
    add("--json", type=Path, metavar="FILE", help="write every raw figure")
    add("--chart", type=Path, metavar="FILE", help="draw events a second (.svg, .png)")
    add("--markdown", type=Path, metavar="FILE", help="put the tables between its marks")
    add("--strict", action="store_true", help="exit with 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    if arguments.profile and arguments.against:
        parser.error("--profile shows where the time of one checkout goes; leave --against out")
    arguments.benchmarks = [b for b in BENCHMARKS if is_named(b, arguments.names)]
    for name in arguments.names:
        if not any(is_named(benchmark, [name]) for benchmark in BENCHMARKS):
            parser.error(f"no benchmark is called {name!r}; there are {names}")
    arguments.command = shlex.join(["python", "-m", "benchmarks", *argv])
    return arguments


def positive(text: str) -> int:
    """A number from 1."""
    value = int(text)
    if value < 1:
        raise ValueError(value)
    return value


def checkout(text: str) -> Path:
    """The folder of a checkout of this project."""
    path = Path(text)
    if not (path / "walnats_anyio" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(
            f"{text!r} holds no walnats_anyio; git worktree add --detach {text} COMMIT makes it"
        )
    return path


def is_named(benchmark: Benchmark, names: list[str]) -> bool:
    """Whether one of the names or patterns means the benchmark; no name means them all."""
    return not names or any(fnmatchcase(benchmark.name, name) for name in names)


async def run(arguments: argparse.Namespace, console: Console) -> Results:
    """Measure what the command line names; show and save each benchmark when it is done."""
    # Through standard error, so that a pipe gets the tables alone.
    progress = Console(stderr=True, highlight=False)
    place = machine()
    plan = plan_of(arguments)
    if plan.profile:
        plan.profile.mkdir(parents=True, exist_ok=True)
    async with server_at(arguments.server) as server:
        results = Results(
            command=arguments.command,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=place,
            versions=versions(server.version, plan.against),
        )
        for benchmark in arguments.benchmarks:
            chosen = [c for c in benchmark.candidates if is_wanted(c, arguments)]
            with progress.status("") as status:
                result = await measure(server, benchmark, chosen, plan, status.update)
            show(result, console)
            results.benchmarks.append(result)
            if arguments.json:
                text = msgspec.json.format(msgspec.json.encode(results))
                arguments.json.write_bytes(text + b"\n")
    return results


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The size of everything."""
    base = QUICK if arguments.quick else Plan()
    rounds = arguments.rounds or (1 if arguments.profile else base.rounds)
    return Plan(
        rounds, arguments.events, base.scale, base.window, arguments.profile, arguments.against
    )


def is_wanted(candidate: Candidate, arguments: argparse.Namespace) -> bool:
    """Whether a candidate takes part."""
    if candidate.role == "ours":
        if arguments.backend not in ("both", candidate.job.backend):
            return False
    elif arguments.profile:
        return False
    return arguments.only is None or any(text in candidate.name for text in arguments.only)


def missed(results: Results) -> bool:
    """Whether a bar was missed."""
    by_name = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    return any(not v.passed for r in results.benchmarks for v in judge(by_name[r.name], r))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
