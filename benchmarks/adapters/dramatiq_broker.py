"""What the Dramatiq brokers on Postgres share: actors, an in-process worker, a stop on SIGTERM."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from typing import Any

from benchmarks.adapters.base import SLOTS, Adapter


class DramatiqBroker(Adapter):
    """A Dramatiq broker driven by Dramatiq's own worker with one thread per slot."""

    unfinished_sql = "SELECT count(*) FROM dramatiq.queue WHERE state::text <> 'done'"

    def broker(self) -> Any:
        """A new broker on the database."""
        raise NotImplementedError

    def open(self) -> None:
        self._broker = self.broker()
        self._actors = self._declare(self._broker)

    def close(self) -> None:
        self._broker.close()

    def enqueue(self, kind: str, number: int) -> None:
        self._actors[kind].send(number)

    def enqueue_batch(self, kind: str, numbers: Iterable[int]) -> None:
        messages = [self._actors[kind].message(number) for number in numbers]
        self.send_batch(self._broker, messages)

    def send_batch(self, broker: Any, messages: list[Any]) -> None:
        """Enqueue messages in the largest unit the broker offers."""
        for message in messages:
            broker.enqueue(message)

    def run_worker(self) -> None:
        if self.tuned:
            os.environ["dramatiq_queue_prefetch"] = "256"  # noqa: SIM112
        from dramatiq import Worker

        broker = self.broker()
        self._declare(broker)
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        worker = Worker(broker, worker_threads=SLOTS)
        worker.start()
        stop.wait()
        worker.stop()
        broker.close()

    def _declare(self, broker: Any) -> dict[str, Any]:
        import dramatiq

        declare = dramatiq.actor
        noop = declare(broker=broker, actor_name="noop")(self.noop)
        hold = declare(broker=broker, actor_name="hold", time_limit=7_200_000)(self.hold)
        return {"noop": noop, "hold": hold}
