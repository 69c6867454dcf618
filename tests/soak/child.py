"""The process that is killed: engines under test, one after another.

    python -m tests.soak.child SETUP.json LIFE

Each line of its input says how the engine at work is to end: "drain" lets all clients finish,
"close" closes it under them. It answers with one JSON line for everything worth knowing, the last
of an engine being "rest". It ends at the end of its input.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import json
import queue
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from lmx.engine import Engine, Snapshot, tokenize
from tests.soak import checks
from tests.soak.clients import Client
from tests.soak.setup import MIB, Setup, World

_LOOK_EVERY_S = 1.0
_DRAIN_S = 60.0
_WEIGHTS = (2, 2, 1)  # of the worlds: where much happens, more often

_output = threading.Lock()


def report(kind: str, **values: Any) -> None:
    with _output:
        print(json.dumps({"kind": kind, **values}), flush=True)


def main() -> None:
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    setup, life = Setup.load(Path(sys.argv[1])), sys.argv[2]
    answers = json.loads(setup.answers_file.read_text())
    orders: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    rests: list[int] = []
    bout = 0
    while True:
        resources = _resources() if bout else None
        seed = f"{setup.seed}/{life}/{bout}"
        world = random.Random(seed).choices(setup.worlds, _WEIGHTS)[0]
        order = _Bout(setup, world, answers, seed).run(orders)
        if order is None:
            return
        rests.append(_resident(setup))
        faults = checks.memory_trend(rests)
        for name, before in (resources or {}).items():
            faults += checks.same_resources(name, before, _resources()[name])
        report("rest", order=order, resident=rests[-1], faults=faults)
        bout += 1


def _read_orders(orders: queue.Queue[str | None]) -> None:
    for line in sys.stdin:
        orders.put(line.strip())
    orders.put(None)


class _Bout:
    """One engine, from its first request to its end."""

    def __init__(self, setup: Setup, world: World, answers: dict[str, Any], seed: str) -> None:
        self.world = world
        self.spill_dir = setup.spill_dir(world)
        self.engine = Engine(device="cpu", threads=1, **world.engine(self.spill_dir))
        self.stopping, self.closing = threading.Event(), threading.Event()
        questions = world.questions(setup.seed)
        self.clients = [
            Client(
                self.engine,
                world,
                questions,
                answers,
                random.Random(f"{seed}/{number}"),
                f"client {number}",
                report,
                self.stopping,
                self.closing,
            )
            for number in range(setup.clients)
        ]

    def run(self, orders: queue.Queue[str | None]) -> str | None:
        """Works until it is told how to end, and ends so."""
        report("start", world=self.world.name)
        threads = [threading.Thread(target=client.run) for client in self.clients]
        for thread in threads:
            thread.start()
        order = self._watch(orders)
        self.stopping.set()
        if order != "drain":
            self.closing.set()
            self.engine.close()
        for thread in threads:
            while thread.is_alive():  # as long as it takes: the clients tell what is lost
                thread.join(_LOOK_EVERY_S)
                self._look()
        if order == "drain":
            self._drain()
            self.closing.set()
            self.engine.close()
        return order

    def _watch(self, orders: queue.Queue[str | None]) -> str | None:
        while True:
            try:
                return orders.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                self._look()

    def _look(self) -> None:
        snapshot = self.engine.snapshot()
        faults = checks.always(snapshot)
        faults += checks.spill_folder(_folder_bytes(self.spill_dir), self.world.spill_bytes)
        counts: dict[str, int] = {}
        for client in self.clients:
            for kind, count in dict(client.counts).items():
                counts[kind] = counts.get(kind, 0) + count
        report(
            "look",
            counts=counts,
            totals=_done(snapshot),
            cap=snapshot["cap"],
            used=snapshot["used"],
            live=len(snapshot["requests"]),
            resident=psutil.Process().memory_info().rss,
            faults=faults,
        )

    def _drain(self) -> None:
        """What nobody reads any more must end too; then nothing but residents is booked."""
        deadline = time.monotonic() + _DRAIN_S
        while (faults := checks.at_rest(self.engine.snapshot())) and time.monotonic() < deadline:
            time.sleep(0.1)
        self._look()
        if faults:
            report("fault", client="nobody", action="drain", text="\n".join(faults))


def _done(snapshot: Snapshot) -> dict[str, int]:
    """What the engine has done since it started."""
    host, totals = snapshot["host"], snapshot["totals"]
    swaps = totals["swaps"]
    return {
        "requests": totals["requests"],
        "finished": totals["finished"],
        "decodes": totals["decodes"],
        "evictions": totals["evictions"],
        "suspensions": totals["suspensions"],
        "tokens reused": totals["cached_tokens"],
        "streamed MiB": totals["streamed_bytes"] // MIB,
        "swaps out": swaps["out"],
        "swaps in": swaps["into"],
        "copies": swaps["copies"],
        "spills": host["spills"],
        "restores": host["restores"],
        "damaged": host["damaged"],
        "lost to RAM": host["lost_to_ram"],
        "lost to disk": host["lost_to_disk"],
    }


def _resources() -> dict[str, int]:
    process = psutil.Process()
    return {"threads": process.num_threads(), "descriptors": process.num_fds()}


def _resident(setup: Setup) -> int:
    """Bytes of this process with the same files open, whose vocabularies are kept, each time."""
    for model in dict.fromkeys(model for world in setup.worlds for model in world.all_models):
        tokenize(model, prompt="sea", device="cpu")
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the engine removes files meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


if __name__ == "__main__":
    main()
