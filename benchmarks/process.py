"""One client or worker process of one system.

python -m benchmarks.process ROLE SYSTEM SETTINGS DSN STAMPS [ARGUMENTS]; a client prints JSON.
Roles: install; enqueue KIND FIRST COUNT; batch KIND FIRST COUNT; latency FIRST COUNT; work;
work-elsewhere (in a UTS namespace of its own, whose host name it changes).
"""

from __future__ import annotations

import gc
import json
import random
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.adapters import adapter_class
from benchmarks.adapters.base import BATCH, Adapter
from benchmarks.stamps import Stamps

_WARM_UPS = 5
_GAP_S = (0.015, 0.045)


def _timed(adapter: Adapter, work: Callable[[], None]) -> dict[str, float]:
    """Seconds of wall clock and of CPU that `work` takes on an open client."""
    adapter.open()
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    spent = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    adapter.close()
    return spent


def enqueue(adapter: Adapter, kind: str, first: int, count: int) -> dict[str, float]:
    """Enqueue `count` tasks one by one, each committed before the next."""

    def work() -> None:
        for number in range(first, first + count):
            adapter.enqueue(kind, number)

    return _timed(adapter, work)


def batch(adapter: Adapter, kind: str, first: int, count: int) -> dict[str, float]:
    """Enqueue `count` tasks in batches of `BATCH`."""

    def work() -> None:
        for start in range(first, first + count, BATCH):
            adapter.enqueue_batch(kind, range(start, min(start + BATCH, first + count)))

    return _timed(adapter, work)


def latency(adapter: Adapter, first: int, count: int) -> dict[str, float]:
    """Enqueue single tasks at random moments; the stamps at `first + count + i` tell when.

    The moment is taken before the call, so that the figure is what a caller sees: enqueue, wake-up,
    claim and start of the body.
    """
    adapter.open()
    gaps = random.Random(7)
    slots = range(first + 2 * count, first + 2 * count + _WARM_UPS)
    for slot in slots:
        adapter.enqueue("noop", slot)
    adapter.stamps.wait(slots, timeout_s=60)
    for number in range(first, first + count):
        time.sleep(gaps.uniform(*_GAP_S))
        adapter.stamps.hit(number + count)
        adapter.enqueue("noop", number)
    adapter.close()
    return {}


def main() -> None:
    role, system, settings, dsn, stamps, *arguments = sys.argv[1:]
    adapter = adapter_class(system)(dsn, Stamps(Path(stamps)), settings)
    match role:
        case "install":
            adapter.install()
        case "enqueue":
            kind, first, count = arguments
            print(json.dumps(enqueue(adapter, kind, int(first), int(count))))
        case "batch":
            kind, first, count = arguments
            print(json.dumps(batch(adapter, kind, int(first), int(count))))
        case "latency":
            print(json.dumps(latency(adapter, *(int(a) for a in arguments))))
        case "work":
            adapter.run_worker()
        case "work-elsewhere":
            socket.sethostname("elsewhere")
            adapter.run_worker()
        case _:
            raise SystemExit(f"benchmarks.process: no role {role!r}")


if __name__ == "__main__":
    main()
