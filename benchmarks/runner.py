"""Run workloads round by round, all systems in each round, so that noise falls on all alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.adapters import adapter_class
from benchmarks.relay import Relay
from benchmarks.server import Counters, Server
from benchmarks.trial import Trial, TrialError
from benchmarks.workloads import Sample, Workload

_SLOW_S = 10.0


@dataclass(frozen=True)
class Entrant:
    """A system with one of its settings."""

    system: str
    settings: str

    @property
    def label(self) -> str:
        """The name in the report."""
        single = len(adapter_class(self.system).variants) == 1
        return self.system if single else f"{self.system} ({self.settings})"

    def offers(self, workload: Workload) -> bool:
        """Whether the system can run a workload at all."""
        return workload.name in adapter_class(self.system).workloads


@dataclass
class Result:
    """All that was measured for one entrant on one workload."""

    samples: list[Sample] = field(default_factory=list)
    commits: float | None = None
    writes: float | None = None
    round_trips: float | None = None
    error: str | None = None

    def median(self, measure: str) -> float | None:
        """The median over the rounds."""
        values = [sample.values[measure] for sample in self.samples]
        return statistics.median(values) if values else None

    def best(self, workload: Workload) -> float | None:
        """The main measure of the best round, which other load on the machine disturbed least."""
        values = [sample.values[workload.measures[0]] for sample in self.samples]
        return (max if workload.higher_is_better else min)(values, default=None)

    def cpu(self) -> float | None:
        """Median CPU seconds per unit in the measured process."""
        values = [sample.cpu for sample in self.samples if sample.cpu is not None]
        return statistics.median(values) if values else None


Results = dict[tuple[str, Entrant], Result]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to run."""

    workloads: list[Workload]
    systems: list[str]
    rounds: int
    defaults: bool
    counts: bool
    scale: float = 1.0

    def entrants(self, workload: Workload) -> list[Entrant]:
        """Who takes part in a workload: every system that can, with the settings that matter."""
        found = []
        for system in self.systems:
            variants = adapter_class(system).variants
            if workload.defaults_only:
                variants = variants[-1:]
            elif not self.defaults:
                variants = tuple(name for name in variants if name != "defaults")
            found += [Entrant(system, settings) for settings in variants]
        return [entrant for entrant in found if entrant.offers(workload)]

    def size(self, workload: Workload) -> int:
        """Units in a timed round."""
        return max(1, round(workload.size * self.scale)) if workload.repeat else workload.size


def run(server: Server, plan: Plan, progress: Progress) -> Results:
    """Every round runs every entrant once per workload, in an order that turns."""
    results: Results = {}
    for workload in plan.workloads:
        entrants = plan.entrants(workload)
        for entrant in entrants:
            results[workload.name, entrant] = Result()
        for number in range(plan.rounds):
            turn = number % len(entrants) if entrants else 0
            for entrant in entrants[turn:] + entrants[:turn]:
                result = results[workload.name, entrant]
                _round(server, plan, workload, entrant, result, number, progress)
        if plan.counts and workload.counted is not None:
            for entrant in entrants:
                _count(server, workload, entrant, results[workload.name, entrant], progress)
    return results


def _round(
    server: Server,
    plan: Plan,
    workload: Workload,
    entrant: Entrant,
    result: Result,
    number: int,
    progress: Progress,
) -> None:
    if result.error is not None or (number and _need_not_repeat(workload, result)):
        return
    try:
        with Trial(server, entrant.system, entrant.settings) as trial:
            size = plan.size(workload)
            workload.prepare(trial, size)
            sample = workload.run(trial, size)
    except TrialError as error:
        result.error = str(error)
        progress(f"{workload.name} {entrant.label}: {error}")
        return
    result.samples.append(sample)
    shown = ", ".join(f"{name} {value:,.2f}" for name, value in sample.values.items())
    progress(f"{workload.name} {number + 1}/{plan.rounds} {entrant.label}: {shown}")


def _need_not_repeat(workload: Workload, result: Result) -> bool:
    """A recovery that waits out a lease of half a minute is not measured better by repetition."""
    slow = any(max(sample.values.values()) > _SLOW_S for sample in result.samples)
    return not workload.repeat and slow


def _count(
    server: Server, workload: Workload, entrant: Entrant, result: Result, progress: Progress
) -> None:
    """Commits and round trips per unit: the difference between a large and a tiny run.

    The difference takes out what a process does once, when it starts and stops.
    """
    if result.error is not None or workload.counted is None:
        return
    try:
        with server.quiet():
            large, tiny = (
                _commits(server, workload, entrant, size) for size in (workload.counted, 1)
            )
            trips = [
                _round_trips(server, workload, entrant, size) for size in (workload.counted, 1)
            ]
    except TrialError as error:
        progress(f"{workload.name} {entrant.label}, counting: {error}")
        return
    units = (workload.counted - 1) * workload.per_task
    result.round_trips = (trips[0] - trips[1]) / units
    if large is None or tiny is None:
        progress(f"{workload.name} {entrant.label}: a client stayed connected, counts not known")
        return
    spent = large - tiny
    result.commits, result.writes = spent.commits / units, spent.writes / units


def _commits(server: Server, workload: Workload, entrant: Entrant, size: int) -> Counters | None:
    """What one run, without its preparation, made the server count."""
    with Trial(server, entrant.system, entrant.settings) as trial:
        workload.prepare(trial, size)
        before = trial.counters()
        workload.run(trial, size)
        trial.stop_worker()
        after = trial.counters()
        return after - before if before is not None and after is not None else None


def _round_trips(server: Server, workload: Workload, entrant: Entrant, size: int) -> int:
    """The round trips of one run, through the relay, which slows it: commits are not taken here."""
    with (
        Relay(server.socket_directory) as relay,
        Trial(server, entrant.system, entrant.settings, relay.directory) as trial,
    ):
        workload.prepare(trial, size)
        prepared = relay.round_trips
        workload.run(trial, size)
        trial.stop_worker()
        return relay.round_trips - prepared


def finite(value: float | None) -> float | None:
    """The value, or None for what never happened (JSON has no infinity)."""
    return value if value is not None and math.isfinite(value) else None
