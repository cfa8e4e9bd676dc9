"""The benchmark harness works: it runs candidates, checks them, and sums up what they measured.

The peers need packages that no test needs, so only this library, nats-py and the raw socket run
here; natsio as well where it is installed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import anyio
import msgspec
import pytest

from benchmarks import _harness
from benchmarks.__main__ import main
from benchmarks._benchmarks import BENCHMARKS, CONSUME, LATENCY, OURS, WALNATS_BEST, Bar
from benchmarks._process import ROOT, RunError
from benchmarks._report import BEGIN, END, comparisons
from benchmarks._results import BenchmarkResult, Results, Run, Spread, best_peer, judge
from benchmarks.workers._measure import TICK, Embedder

OURS_AND_FLOOR = ("--only", "walnats-anyio", "--only", "nats-py", "--only", "raw socket")
OURS_ALONE = ("--only", OURS)
FEW = ("--events", "40", "--rounds", "1")


def run(tmp_path: Path, *arguments: str) -> tuple[int, Results]:
    file = tmp_path / "results.json"
    code = main([*arguments, "--json", str(file)])
    return code, msgspec.json.decode(file.read_bytes(), type=Results)


def result(**rates: tuple[float, ...]) -> BenchmarkResult:
    """A result with a rate in each round; ``ours`` is this library on asyncio."""
    names = {OURS: rates.pop("ours"), **rates}
    return BenchmarkResult(
        name=CONSUME.name,
        jobs=dict.fromkeys(names, CONSUME.candidates[0].job),
        runs=[
            Run(round=number, candidate=name, figures={"rate": rate})
            for name, by_round in names.items()
            for number, rate in enumerate(by_round, 1)
        ],
        not_installed=[],
    )


def check_that_all_measured(code: int, results: Results) -> None:
    """Every candidate finished, with a figure for every column."""
    [measured] = results.benchmarks
    assert [run.error for run in measured.errors()] == []
    assert code == 0
    [benchmark] = [b for b in BENCHMARKS if b.name == measured.name]
    assert measured.candidates()
    for candidate in measured.candidates():
        for metric in benchmark.metrics:
            figures = measured.by_round(candidate, metric.key)
            assert len(figures) == 1
            assert min(figures.values()) > 0


@pytest.mark.parametrize(
    "name",
    [
        "consume",
        "consume-sleep",
        "emit",
        "emit-sync",
        "latency",
        "retries",
        "embedder",
        "priority",
    ],
)
def test_benchmarks_run_ours_and_the_floor(tmp_path: Path, name: str) -> None:
    check_that_all_measured(*run(tmp_path, name, *FEW, *OURS_AND_FLOOR))


@pytest.mark.parametrize("name", ["consume", "consume-sleep", "emit*", "latency"])
def test_natsio_takes_part_where_it_is_installed(tmp_path: Path, name: str) -> None:
    pytest.importorskip("natsio", reason="a peer of the benchmarks, for Python 3.13")
    code, results = run(tmp_path, name, *FEW, "--only", "natsio")
    for measured in results.benchmarks:
        alone = Results(command="", started="", machine={}, versions={}, benchmarks=[measured])
        check_that_all_measured(code, alone)


def test_memory_is_measured(tmp_path: Path) -> None:
    code, results = run(tmp_path, "sleepers", "--events", "300", "--rounds", "1", *OURS_AND_FLOOR)
    assert code == 0
    weight = results.benchmarks[0].spread(OURS, "bytes_per_job")
    assert weight is not None
    assert 500 < weight.median < 100_000


def test_a_candidate_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_spec(name: str) -> object:
        return None if name in {"walnats", "faststream", "taskiq", "natsio", "trio"} else object()

    monkeypatch.setattr(_harness, "find_spec", find_spec)
    code, results = run(tmp_path, "consume", "--events", "100", "--rounds", "1")
    assert code == 0
    missing = results.benchmarks[0].not_installed
    assert "walnats-anyio, trio" in missing
    assert {*WALNATS_BEST, "natsio"} < set(missing)
    assert capsys.readouterr().out.count("not installed") >= len(missing)


def test_results_can_be_shown_again_and_put_into_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    check_that_all_measured(*run(tmp_path, "consume-16", *FEW, *OURS_AND_FLOOR))
    shown = capsys.readouterr().out
    assert main(["--from", str(tmp_path / "results.json"), "--markdown", str(page)]) == 0
    assert capsys.readouterr().out == shown
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert f"| {OURS} |" in text


def test_a_page_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    file, page = tmp_path / "results.json", tmp_path / "page.md"
    empty = Results(command="", started="", machine={}, versions={})
    file.write_bytes(msgspec.json.encode(empty))
    page.write_text("words")
    with pytest.raises(ValueError, match=r"page\.md has no lines"):
        main(["--from", str(file), "--markdown", str(page)])
    assert page.read_text() == "words"


def test_a_profile_says_where_the_time_goes(tmp_path: Path) -> None:
    arguments = ["consume-16", "--events", "200", "--backend", "asyncio"]
    assert main([*arguments, "--profile", str(tmp_path)]) == 0
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == [".pstats", ".txt"]
    [summary] = tmp_path.glob("*.txt")
    assert "tottime" in summary.read_text()


def test_a_run_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def die(*arguments: object) -> None:
        raise RunError("ours consume died\nthe reason")

    monkeypatch.setattr(_harness, "run_worker", die)
    code, results = run(tmp_path, "consume-16", "--events", "10", "--rounds", "1", *OURS_AND_FLOOR)
    assert code == 1
    assert len(results.benchmarks[0].errors()) == 2
    assert "the reason" in capsys.readouterr().out


def test_another_checkout_runs_its_own_library(tmp_path: Path) -> None:
    package = tmp_path / "before" / "walnats_anyio"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this is the other one')")
    code, results = run(tmp_path, "consume-16", *FEW, *OURS_ALONE, "--against", str(package.parent))
    assert code == 1
    [measured] = results.benchmarks
    assert measured.candidates() == [OURS, "before, asyncio"]
    [failed] = measured.errors()
    assert failed.candidate == "before, asyncio"
    assert "this is the other one" in str(failed.error)
    assert measured.spread(OURS, "rate") is not None


def test_another_checkout_is_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, results = run(tmp_path, "consume-16", *FEW, *OURS_ALONE, "--against", str(ROOT))
    assert code == 0
    assert results.versions["before"]
    shown = capsys.readouterr().out
    assert f"x before  {OURS}: rate " in shown
    assert main(["--from", str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out == shown


def test_a_folder_that_is_no_checkout_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["consume", "--against", str(tmp_path)])
    assert "holds no walnats_anyio" in capsys.readouterr().err


def test_a_profile_is_of_one_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["consume", "--profile", str(tmp_path), "--against", str(ROOT)])
    assert "leave --against out" in capsys.readouterr().err


def test_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["consumption"])
    assert "no benchmark is called 'consumption'" in capsys.readouterr().err


def test_ratios_are_taken_round_by_round() -> None:
    measured = result(ours=(100, 300, 800), walnats=(10, 100, 100))
    assert measured.ratio(OURS, "walnats", "rate") == Spread(median=8, low=3, high=10)


def test_a_bar_is_against_the_best_of_its_rivals() -> None:
    slow, fast = WALNATS_BEST
    measured = result(ours=(390, 390, 390), **{slow: (50, 50, 50), fast: (100, 100, 100)})
    [verdict] = [v for v in judge(CONSUME, measured) if v.bar.candidate == OURS]
    assert verdict.rival == fast
    assert verdict.reached.median == pytest.approx(3.9)
    assert not verdict.passed


def test_the_rival_of_a_bar_on_cpu_is_the_one_that_takes_the_least() -> None:
    fast, thrifty = WALNATS_BEST
    figures = {
        OURS: {"rate": 300.0, "cpu_us": 5.0},
        fast: {"rate": 200.0, "cpu_us": 40.0},
        thrifty: {"rate": 100.0, "cpu_us": 10.0},
    }
    measured = BenchmarkResult(
        name=CONSUME.name,
        jobs={},
        runs=[Run(round=1, candidate=name, figures=found) for name, found in figures.items()],
        not_installed=[],
    )
    bars = (Bar(OURS, "cpu_us", at_most=0.4, against=WALNATS_BEST),)
    [verdict] = judge(replace(CONSUME, bars=bars), measured)
    assert verdict.rival == thrifty
    assert verdict.reached.median == pytest.approx(0.5)
    assert not verdict.passed


def test_another_checkout_is_compared_with_round_by_round() -> None:
    measured = result(ours=(90, 200, 330), **{"before, asyncio": (100, 100, 300), "walnats": (1,)})
    assert comparisons(CONSUME, measured) == [f"x before  {OURS}: rate 1.10 (0.90 - 2.00)"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_pause_counts_for_every_tick_that_it_delays(backend: str) -> None:
    pause = 100 * TICK
    application = Embedder()

    async def block_the_loop() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(application.run)
            await anyio.sleep(TICK)
            time.sleep(pause)  # noqa: ASYNC251 - blocking the event loop is the point
            group.cancel_scope.cancel()

    anyio.run(block_the_loop, backend=backend)
    figures = application.figures()
    assert figures["max_ms"] >= pause * 0.9 * 1e3
    assert figures["p50_ms"] >= pause * 0.3 * 1e3  # one late tick alone would leave it near zero


def test_the_best_peer_has_the_lowest_latency() -> None:
    runs = [
        Run(round=1, candidate=name, figures={"p50_us": value, "p99_us": 1})
        for name, value in {"walnats": 300.0, "FastStream": 200.0, "nats-py by hand": 100.0}.items()
    ]
    measured = BenchmarkResult(name=LATENCY.name, jobs={}, runs=runs, not_installed=[])
    assert best_peer(LATENCY, measured) == "FastStream"


def test_every_bar_names_candidates_that_run() -> None:
    for benchmark in BENCHMARKS:
        names = {candidate.name for candidate in benchmark.candidates}
        assert len(names) == len(benchmark.candidates)
        for bar in benchmark.bars:
            assert {bar.candidate, *bar.against} <= names
            assert bar.metric in {metric.key for metric in benchmark.metrics}
