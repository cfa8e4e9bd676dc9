"""The benchmark harness works: it runs candidates, checks them, and sums up what they measured.

The peers need packages that no test needs, so only this library and nats-py run here.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks import _harness
from benchmarks.__main__ import main
from benchmarks._benchmarks import BENCHMARKS, CONSUME, LATENCY, OURS, WALNATS_BEST
from benchmarks._process import RunError
from benchmarks._report import BEGIN, END
from benchmarks._results import BenchmarkResult, Results, Run, Spread, best_peer, judge

OURS_AND_FLOOR = ("--only", "walnats-anyio", "--only", "nats-py")


def run(tmp_path: Path, *arguments: str) -> tuple[int, Results]:
    file = tmp_path / "results.json"
    code = main([*arguments, "--json", str(file)])
    return code, msgspec.json.decode(file.read_bytes(), type=Results)


def result(**rates: tuple[float, ...]) -> BenchmarkResult:
    """A result with a rate in each round, for candidates with underscores in place of spaces."""
    names = {OURS: rates.pop("ours"), **rates}
    return BenchmarkResult(
        name=CONSUME.name,
        jobs={c.name: c.job for c in CONSUME.candidates if c.name in names},
        runs=[
            Run(round=number, candidate=name, figures={"rate": rate})
            for name, by_round in names.items()
            for number, rate in enumerate(by_round, 1)
        ],
        not_installed=[],
    )


def test_benchmarks_run_ours_and_the_floor(tmp_path: Path) -> None:
    names = ["consume-sleep", "consume-16", "emit-sync", "latency"]
    code, results = run(tmp_path, *names, "--events", "100", "--rounds", "1", *OURS_AND_FLOOR)
    assert [run.error for measured in results.benchmarks for run in measured.errors()] == []
    assert code == 0
    for measured in results.benchmarks:
        [benchmark] = [b for b in BENCHMARKS if b.name == measured.name]
        for candidate in measured.candidates():
            figures = measured.by_round(candidate, benchmark.metrics[0].key)
            assert len(figures) == 1
            assert min(figures.values()) > 0


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
        return None if name in {"walnats", "faststream", "taskiq", "trio_asyncio"} else object()

    monkeypatch.setattr(_harness, "find_spec", find_spec)
    code, results = run(tmp_path, "consume", "--events", "100", "--rounds", "1")
    assert code == 0
    missing = results.benchmarks[0].not_installed
    assert "walnats-anyio, trio" in missing
    assert set(WALNATS_BEST) < set(missing)
    assert capsys.readouterr().out.count("not installed") >= len(missing)


def test_results_can_be_shown_again_and_put_into_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    run(tmp_path, "consume-16", "--events", "50", "--rounds", "1", *OURS_AND_FLOOR)
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
