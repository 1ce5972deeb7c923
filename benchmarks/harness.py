"""Measures arms in turns over several rounds, and compares them in rows."""

from __future__ import annotations

import os
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks import processes
from benchmarks.load.plan import Counted, Plan


class NotRun(Exception):
    """A peer cannot run on this machine. The message states what is missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of an arm. CPU times are milliseconds for each call; None: not measured."""

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    server_ms: float | None = None
    postgres_ms: float | None = None
    load_cores: float | None = None
    """How many cores the load took; near 1 means that the load, not the server, is what was measured."""

    def by_cpu(self, cores: int) -> float | None:
        """Return the calls a second that the CPU times allow where nothing else runs; None: they were not measured.

        The server, one process, uses one core, and all have the cores together.
        """
        if self.server_ms is None or self.load_cores is None or not self.value:
            return None
        together = self.server_ms + (self.postgres_ms or 0) + 1000 * self.load_cores / self.value
        return 1000 / max(self.server_ms, together / cores)

    def each(self, count: int) -> Sample:
        """Return the figures for each of so many things that a call does; the latency remains that of the call."""
        server_ms, postgres_ms = (ms and ms / count for ms in (self.server_ms, self.postgres_ms))
        return replace(self, value=self.value * count, server_ms=server_ms, postgres_ms=postgres_ms)


Arm = Callable[[float], Awaitable[Sample]]
"""Measures for so many seconds."""


@dataclass(slots=True)
class Measured:
    """The samples of one arm, one a round, or why there are none."""

    unit: str
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None
    missing: bool = False
    """Whether the failure is that the machine lacks something."""

    def median(self, name: str = "value") -> float | None:
        """Return the median of a figure over the rounds."""
        values = [value for sample in self.samples if (value := getattr(sample, name)) is not None]
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: the ratio of two arms in the same round, or the value of one (`other` None).

    `aim` is a least value, or a most value with `most`. `what` is the row of the table of aims.
    """

    key: str
    what: str
    ours: str
    other: str | None
    aim: float | None
    most: bool = False
    unit: str = ""
    figure: str = "value"
    """The figure of the samples that is compared."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a row came to: median over the rounds and the range of the rounds."""

    row: Row
    rounds: Sequence[float]
    failure: str | None = None
    missing: bool = False
    by_cpu: float | None = None
    """The ratio of what the CPU times allow, median over the rounds; None: not of this row."""

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half of the range of the rounds; of a single round, which shows no range, a quarter of its value."""
        return (max(self.rounds) - min(self.rounds)) / 2 if len(self.rounds) > 1 else self.median / 4

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None if the row has none or was not run."""
        if self.row.aim is None or not self.rounds:
            return None
        return self.median <= self.row.aim if self.row.most else self.median >= self.row.aim


@dataclass(slots=True)
class Harness:
    """The arms and rows of a benchmark, and what was measured."""

    rounds: int
    seconds: float
    say: Callable[[str], None]
    warm_seconds: float = 1.0
    """How long each arm is measured before the first round, which is discarded; 0: not at all."""
    measured: dict[str, Measured] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is said below the table."""

    def absent(self, name: str, unit: str, reason: str) -> None:
        """Note that an arm cannot run on this machine."""
        self.measured[name] = Measured(unit, failure=reason, missing=True)

    def measured_once(self, name: str, unit: str, sample: Sample) -> None:
        """Note an arm that is measured once."""
        self.measured[name] = Measured(unit, [sample])
        self.say(f"  {name}: {sample.value:,.3f} {unit}")

    async def in_turns(
        self, arms: Mapping[str, tuple[str, Arm]], rounds: int | None = None, *, warm: bool = True
    ) -> None:
        """Measure the arms, name to unit and function, one after another in each round, in an order that rotates.

        A measurement of each before the first round is discarded. An arm that fails is not
        measured again; the others are.
        """
        self.measured |= {name: Measured(unit) for name, (unit, _) in arms.items()}
        names = list(arms)
        for name in names if warm and self.warm_seconds else ():
            await self._measure(name, arms[name][1], self.warm_seconds)
            self.measured[name].samples.clear()
        rounds = rounds or self.rounds
        for number in range(rounds):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                await self._measure(name, arms[name][1], self.seconds)
            self.say(f"  round {number + 1} of {rounds}: {self._newest(names)}")

    async def _measure(self, name: str, arm: Arm, seconds: float) -> None:
        measured = self.measured[name]
        if measured.failure:
            return
        try:
            measured.samples.append(await arm(seconds))
        except NotRun as error:
            measured.failure, measured.missing = str(error), True
        except Exception as error:  # noqa: BLE001  # the other rows are measured, and the table names the failure
            measured.failure = f"{type(error).__name__}: {error}"
            self.say(f"  {name} failed: {measured.failure}")

    def _newest(self, names: Sequence[str]) -> str:
        newest = ((name, self.measured[name]) for name in names)
        return ", ".join(f"{name} {each.samples[-1].value:,.0f}" for name, each in newest if each.samples)

    def compare(self, rows: Sequence[Row], failure: str | None = None) -> None:
        """Add the results of rows; `failure`: why their arms could not all be measured."""
        self.results += (self._compared(row, failure) for row in rows)

    def _compared(self, row: Row, failure: str | None) -> Result:
        arms = [self.measured.get(name) or Measured("", failure=failure) for name in (row.ours, row.other) if name]
        for arm in arms:
            if arm.failure or not arm.samples:
                return Result(row, (), arm.failure or "it was not measured", arm.missing)
        values = [[getattr(sample, row.figure) for sample in arm.samples] for arm in arms]
        if len(values) == 1:
            return Result(row, values[0])
        ratios = [ours / other for ours, other in zip(*values, strict=True)]
        return Result(row, ratios, by_cpu=self._by_cpu(arms) if row.figure == "value" else None)

    @staticmethod
    def _by_cpu(arms: Sequence[Measured]) -> float | None:
        cores = os.cpu_count() or 1
        allowed = [[sample.by_cpu(cores) for sample in arm.samples] for arm in arms]
        ratios = [ours / other for ours, other in zip(*allowed, strict=True) if ours and other]
        return statistics.median(ratios) if ratios else None


@dataclass(slots=True)
class Loads:
    """Runs plans of load, and reads the CPU time of what they load."""

    postgres: int
    """The process id of Postgres."""

    async def measure(self, plan: Plan, server: int, *, database: bool = True) -> Sample:
        """Carry out the plan against a server, given by its process id; the value is calls a second."""
        counted, server_ms, postgres_ms = await self.counted(plan, server, database=database)
        return Sample(
            counted.rate,
            counted.p50 * 1000,
            counted.p99 * 1000,
            server_ms,
            postgres_ms,
            counted.cpu_seconds / counted.wall_seconds,
        )

    async def counted(self, plan: Plan, server: int, *, database: bool = True) -> tuple[Counted, float, float | None]:
        """Return what the load counted, and the milliseconds of CPU of the server and of Postgres for each call."""
        of_server, of_postgres = processes.cpu_seconds(server), processes.cpu_seconds(self.postgres)
        counted = Counted.load(await processes.output_of("benchmarks.load", given=plan.dump()))
        if counted.failed and not plan.may_fail:
            raise RuntimeError(f"{counted.failed} of {counted.calls + counted.failed} calls of {plan.path} failed")
        each = 1000 / max(1, counted.calls)
        postgres_ms = (processes.cpu_seconds(self.postgres) - of_postgres) * each if database else None
        return counted, (processes.cpu_seconds(server) - of_server) * each, postgres_ms
