"""What showing the text of running calls costs: `python -m benchmarks.partial_answers`.

One worker with 64 calls in flight at a played provider, each an answer of 3,200 characters in 200
pieces over ten seconds. Rounds in turn: a worker that shows the number of pieces only, one that
shows the text, and one whose text no compression makes shorter. Numbers are for each call, by the
clocks of the processes and the counters of the database.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import psutil
from rich.console import Console
from rich.table import Table

from lmx.api.rehearsal.scenario import KEY, Agents, Scenario
from lmx.api.rehearsal.stage import Stage, stage
from lmx.api.rehearsal.work import queue_calls, undone
from lmx.workers.cloud.launch import accounts_of, cloud_process
from lmx.workflows.client import Client
from lmx.workflows.config import load_settings
from lmx.workflows.partial import Partial
from lmx.workflows.providers.catalog import Account, load_catalog
from lmx.workflows.views import get_task

_CALLS = 64
_QUEUE = "anthropic"
_AGENTS = Agents("claude-haiku-5-5", _CALLS, 1, 100, 4_000)
_SCENARIO = Scenario(
    title="64 long answers at once",
    minutes=10.0,
    accounts=(Account("anthropic", "default", tier="4", limits={"haiku": {"rpm": 100_000}}),),
    agents=(_AGENTS,),
    pace={"first_token_s": 0.2, "tokens_per_s": 80.0, "shortest": 0.2, "longest": 0.2},
)
_KINDS = ("pieces only", "text", "text without pattern")
_COUNTERS = """
SELECT (pg_current_wal_lsn() - '0/0')::bigint, d.xact_commit, t.n_tup_upd
FROM pg_stat_database d, pg_stat_user_tables t
WHERE d.datname = current_database() AND t.relid = 'lmx.tasks'::regclass
"""


@dataclass(frozen=True)
class Reading:
    """Counters at one moment: seconds, bytes, numbers."""

    worker_s: float
    database_s: float
    log_bytes: int
    commits: int
    updates: int

    def since(self, before: Reading) -> list[float]:
        """What was used since, for each call: ms, ms, KiB, numbers."""
        return [
            (self.worker_s - before.worker_s) * 1e3 / _CALLS,
            (self.database_s - before.database_s) * 1e3 / _CALLS,
            (self.log_bytes - before.log_bytes) / 1024 / _CALLS,
            (self.commits - before.commits) / _CALLS,
            (self.updates - before.updates) / _CALLS,
        ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partial_answers")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    rounds = parser.parse_args().rounds
    os.environ["ANTHROPIC_API_KEY"] = KEY
    used: dict[str, list[list[float]]] = {kind: [] for kind in _KINDS}
    with stage(load_settings(), _SCENARIO, 1.0, 0, lambda _: None) as set_up:
        home = set_up.settings.home
        accounts = accounts_of(load_catalog(home), _QUEUE)
        worker = cloud_process(set_up.settings, set_up.database, _QUEUE, accounts)
        worker.start()
        try:
            _round(set_up)  # what loads at the first calls is loaded
            for _ in range(rounds):
                for kind in _KINDS:
                    with _showing(kind):
                        used[kind].append(_round(set_up))
        finally:
            worker.stop()
    show(used)
    return 0


@contextmanager
def _showing(kind: str) -> Iterator[None]:
    add, noise = Partial.add, _noise()

    def added(self: Partial, text: str = "", *_: str) -> None:
        at = random.randrange(len(noise) - len(text))
        add(self, noise[at : at + len(text)])

    instead = {
        "pieces only": lambda *_, **__: None,
        "text": add,
        "text without pattern": added,
    }
    with patch.object(Partial, "add", instead[kind]):
        yield


def _noise() -> str:
    letters = random.Random(1)
    return "".join(letters.choice("abcdefghijklmnopqrstuvwxyz      ") for _ in range(100_000))


def _round(set_up: Stage) -> list[float]:
    before = _read(set_up)
    with closing(Client(set_up.database)) as client, set_up.database.connect() as conn:
        tasks = queue_calls(client, _AGENTS)
        while undone(conn, tasks):
            time.sleep(0.5)
        if any(get_task(set_up.database, task).state != "succeeded" for task in tasks):
            raise SystemExit("a call has failed: what it used says nothing")
    return _read(set_up).since(before)


def _read(set_up: Stage) -> Reading:
    time.sleep(1.5)  # sessions tell the statistics what they did at most a second later
    with set_up.database.connect() as conn:
        row: Any = conn.execute(_COUNTERS).fetchone()
    return Reading(time.process_time(), _database_s(set_up.settings.home), *row)


def _database_s(home: Path) -> float:
    """Processor seconds of the server's processes, those that have ended included."""
    server = psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))
    times = [server.cpu_times(), *(one.cpu_times() for one in server.children(recursive=True))]
    ended = times[0].children_user + times[0].children_system
    return ended + sum(one.user + one.system for one in times)


def show(used: dict[str, list[list[float]]]) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("for each call, median (and against pieces only)")
    for heading in ("worker ms", "database ms", "log KiB", "commits", "row updates"):
        table.add_column(heading, justify="right")
    middle = {
        kind: [median(values) for values in zip(*rows, strict=True)] for kind, rows in used.items()
    }
    for kind, values in middle.items():
        base = middle[_KINDS[0]]
        ratios = [value / least for value, least in zip(values, base, strict=True)]
        cells = [f"{v:.1f} ({r:.2f})" for v, r in zip(values, ratios, strict=True)]
        table.add_row(kind, *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
