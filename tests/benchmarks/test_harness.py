"""The harness of the benchmark: rounds in turns, rows that fail, and rows that are worse than recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.harness import Arm, Harness, NotRun, Row, Sample
from benchmarks.load.plan import MARK, Caller, Plan


def arm(*values: float, called: list[str] | None = None, name: str = "") -> Arm:
    """Return an arm that measures the values one after another."""
    left = list(values)

    async def measure(seconds: float) -> Sample:
        if called is not None:
            called.append(name)
        return Sample(left.pop(0))

    return measure


def failing(error: Exception) -> Arm:
    async def measure(seconds: float) -> Sample:
        raise error

    return measure


def harness(rounds: int = 3) -> Harness:
    return Harness(rounds, 0.1, lambda _: None, warm_seconds=0)


LEAST = Row("least", "ours against theirs", "ours", "theirs", 0.5)
MOST = Row("most", "ours against theirs", "ours", "theirs", 0.5, most=True)


async def test_arms_take_turns_in_an_order_that_rotates_and_ratios_are_of_one_round() -> None:
    called: list[str] = []
    measured = harness(2)
    arms = {name: ("calls/s", arm(*values, called=called, name=name)) for name, values in _VALUES.items()}
    await measured.in_turns(arms)
    measured.compare([LEAST, MOST])
    assert called == ["ours", "theirs", "theirs", "ours"]
    for result, met in zip(measured.results, (True, False), strict=True):
        assert list(result.rounds) == [10 / 20, 30 / 20]
        assert (result.median, result.spread, result.met) == (1.0, 0.5, met)


_VALUES = {"ours": (10.0, 30.0), "theirs": (20.0, 20.0)}


async def test_the_measurement_before_the_first_round_is_discarded() -> None:
    measured = Harness(1, 0.1, lambda _: None, warm_seconds=0.1)
    await measured.in_turns({"ours": ("calls/s", arm(1.0, 10.0))})
    assert [sample.value for sample in measured.measured["ours"].samples] == [10.0]


async def test_a_row_whose_arm_fails_has_failed_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = harness()
    await measured.in_turns(
        {"ours": ("calls/s", arm(1, 2, 3)), "theirs": ("calls/s", failing(ValueError("no answer")))}
    )
    measured.compare([LEAST, Row("alone", "ours", "ours", None, 1.0)])
    failed, alone = measured.results
    assert (failed.failure, failed.met) == ("ValueError: no answer", None)
    assert list(alone.rounds) == [1, 2, 3]
    assert not report.finish(measured, {"commit": "0"}, None, tmp_path)
    assert "not run: ValueError: no answer" in capsys.readouterr().out


async def test_a_peer_that_the_machine_lacks_is_named_and_does_not_fail_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = harness()
    measured.absent("theirs", "calls/s", "node is not installed")
    await measured.in_turns({"ours": ("calls/s", arm(1, 2, 3)), "other": ("calls/s", failing(NotRun("no pgbench")))})
    measured.compare([LEAST, Row("other", "ours against the other", "ours", "other", None)])
    assert report.finish(measured, {"commit": "0"}, None, tmp_path)
    printed = capsys.readouterr().out
    assert "| ours against theirs | ≥ 0.5 | not run: node is not installed |" in printed
    assert "| ours against the other | - | not run: no pgbench |" in printed


@pytest.mark.parametrize(
    ("row", "recorded", "fallen"),
    [
        (LEAST, {"median": 1.4, "spread": 0.1}, False),  # the rounds are 0.5 and 1.5: their spread is 0.5
        (LEAST, {"median": 1.6, "spread": 0.1}, True),
        (LEAST, {"median": 1.6, "spread": 0.7}, False),
        (LEAST, {"median": 0.2, "spread": 0.1}, False),
        (MOST, {"median": 0.4, "spread": 0.1}, True),
        (MOST, {"median": 1.6, "spread": 0.1}, False),
    ],
)
async def test_a_row_that_is_worse_than_recorded_by_more_than_the_spread_has_fallen(
    row: Row, recorded: dict[str, float], fallen: bool
) -> None:
    measured = harness(2)
    await measured.in_turns({name: ("calls/s", arm(*values)) for name, values in _VALUES.items()})
    measured.compare([row])
    assert report.fallen(measured.results[0], {row.key: recorded}) is fallen
    assert not report.fallen(measured.results[0], {})


def test_a_plan_survives_the_way_to_the_process_of_the_load() -> None:
    plan = Plan("127.0.0.1:1", "/a/B", [Caller(b"\0\xff" + MARK, {"x-trader-id": "1"})], 2, 0.5, http1=True)
    assert Plan.load(plan.dump()) == plan


async def test_a_row_that_has_fallen_is_named_in_red_and_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    measured = harness(2)
    await measured.in_turns({name: ("calls/s", arm(*values)) for name, values in _VALUES.items()})
    measured.compare([LEAST])
    report.record(measured, tmp_path)
    assert report.finish(measured, {"commit": "0"}, "now", tmp_path)
    assert json.loads((tmp_path / "now.json").read_text("utf-8"))["rows"]["least"]["rounds"] == [0.5, 1.5]
    (tmp_path / "recorded.json").write_text('{"least": {"median": 2.0, "spread": 0.1}}', "utf-8")
    assert not report.finish(measured, {"commit": "0"}, None, tmp_path)
    assert "\x1b[31mFALLEN by more than the spread: ours against theirs: 1, recorded 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("server_ms", "postgres_ms", "allowed"),
    [
        (0.5, None, 2000),  # the server's one core
        (0.5, 0.4, 2000),
        (0.5, 0.9, 1000 / 0.75),  # with 0.1 ms of the load, two cores
    ],
)
def test_what_the_cpu_times_allow_is_bounded_by_the_servers_core_and_by_all_cores(
    server_ms: float, postgres_ms: float | None, allowed: float
) -> None:
    sample = Sample(1000, server_ms=server_ms, postgres_ms=postgres_ms, load_cores=0.1)
    assert sample.by_cpu(2) == pytest.approx(allowed)
    assert Sample(1000).by_cpu(2) is None
