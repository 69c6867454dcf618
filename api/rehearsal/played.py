"""Rehearses a scenario against played providers, whose own books are what is reported."""

import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, Final

from lmx.api.rehearsal.report import PoolReport, Watched, report
from lmx.api.rehearsal.scenario import Scenario
from lmx.api.rehearsal.stage import Say, Stage, stage
from lmx.api.rehearsal.work import Recorded, queue_calls, read_records, undone
from lmx.workflows.client import Client
from lmx.workflows.config import Settings
from lmx.workflows.control import pause_queue, resume_queue
from lmx.workflows.names import GPU

#: How often progress is looked at, at most, in real seconds.
_LOOK_S: Final = 2.0
_MINUTE: Final = 60.0


def rehearse(
    settings: Settings,
    scenario: Scenario,
    speed: float,
    processes: int,
    say: Say,
    throttled: str | None = None,
) -> list[PoolReport]:
    """Run a scenario `speed` times as fast as real time, with so many processes per provider.

    Nothing is spent. Of the pool `throttled` the provider grants a tenth. Raises LmxError.
    """
    with stage(settings, scenario, speed, processes, say, throttled) as set_up:
        client = Client(set_up.database)
        try:
            return _perform(set_up, scenario, client, say)
        finally:
            client.close()


def _perform(set_up: Stage, scenario: Scenario, client: Client, say: Say) -> list[PoolReport]:
    held = [queue for queue in set_up.queues if queue != GPU]
    for queue in held:
        pause_queue(set_up.database, queue)
    tasks: list[int] = []
    for agents in set_up.agents:
        tasks += queue_calls(client, agents)
        say(f"{agents.count} agents queued {agents.total} calls of {agents.model}")
    began, began_at = _now(set_up.url), time.time()
    for queue in held:
        resume_queue(set_up.database, queue)
    with set_up.database.connect() as conn:
        end = _follow(set_up, began, scenario.minutes, lambda: undone(conn, tasks), say)
        ended_at, log = time.time(), _look(set_up.url, "/rehearsal/log")
        refused = {
            one["pool"]: one["counts"].get("refused", 0)
            for one in _look(set_up.url, "/rehearsal")["pools"]
        }
        recorded = read_records(conn, tasks)
    booked = {one["pool"]: one["seconds"] for one in log}
    reports = []
    for pool, own in recorded.items():
        if pool in booked:
            waits = _waits(own, began_at, ended_at, set_up.speed)
            reports.append(
                report(
                    Watched(
                        pool=pool,
                        planned=own.planned,
                        begin=began,
                        end=end,
                        seconds=_read_seconds(booked[pool]),
                        limits=own.limits,
                        refused=refused.get(pool, 0),
                        waits=waits,
                    )
                )
            )
        else:
            reports.append(local_report(pool, own, began_at, ended_at))
    return reports


def local_report(pool: str, own: Recorded, began_at: float, ended_at: float) -> PoolReport:
    """A local model, in real time: its device is its only limit."""
    waits = _waits(own, began_at, ended_at, 1.0)
    return report(Watched(pool, own.planned, began_at, ended_at, own.seconds, waits=waits))


def _follow(
    set_up: Stage, began: float, minutes: float, left: Callable[[], int], say: Say
) -> float:
    """Watch until the time is over or all is done; returns the provider's time then."""
    end = began + minutes * _MINUTE
    while (now := _now(set_up.url)) < end:
        undone_now = left()
        say(f"minute {(now - began) / _MINUTE:.1f}: {undone_now} calls to go")
        if not undone_now:
            break
        time.sleep(min(_LOOK_S, max(0.02, (end - now) / set_up.speed)))
    return min(now, end)


def _waits(own: Recorded, began_at: float, ended_at: float, speed: float) -> list[float]:
    """What has not begun has waited until the end."""
    waiting = [ended_at] * (own.planned - len(own.started))
    return [max(0.0, at - began_at) * speed for at in (*own.started, *waiting)]


def _read_seconds(told: Mapping[str, Mapping[str, int]]) -> dict[str, dict[int, int]]:
    return {
        of: {int(second): amount for second, amount in counts.items()}
        for of, counts in told.items()
    }


def _now(url: str) -> float:
    return float(_look(url, "/rehearsal")["now"])


def _look(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}") as answer:  # noqa: S310 - our own server
        return json.load(answer)
