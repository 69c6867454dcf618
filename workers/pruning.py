"""Prunes what has been kept for long enough, if a setting says how long that is.

Every worker process has such a thread. Whoever comes first in an hour does the work.
"""

import logging
import threading
from dataclasses import dataclass, field
from typing import Final

import psycopg

from lmx.workflows.config import Settings
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import LmxError
from lmx.workflows.retention.kept import pruned_within
from lmx.workflows.retention.pruning import Pruned, prune

log = logging.getLogger("lmx.pruning")

EVERY_S: Final = 3600.0
#: Pauses between two pieces: what is pruned has no hurry, all else may have.
_PAUSE_S: Final = 0.2


@dataclass(slots=True)
class Pruner:
    """Prunes once an hour until `stop`; nothing starts where everything is kept for ever."""

    settings: Settings
    database: Database
    every_s: float = EVERY_S
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if there is anything for it to do."""
        if self.settings.keep_records is None and self.settings.keep_runs is None:
            return
        self._thread = threading.Thread(target=self._loop, name="lmx-pruning", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the piece at which it is."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self._pass()
            except (psycopg.Error, LmxError) as error:
                log.warning("not pruned: %s", " ".join(str(error).split()))
            except Exception:  # nothing else must end because of it
                log.exception("defect in pruning")
            self._stopping.wait(self.every_s)

    def _pass(self) -> None:
        with self.database.connect(application_name="lmx pruning") as conn:
            if pruned_within(conn, self.every_s):
                return
        for age, runs in ((self.settings.keep_records, False), (self.settings.keep_runs, True)):
            if age is not None:
                _tell(prune(self.database, age, runs=runs, go_on=self._goes_on))

    def _goes_on(self) -> bool:
        return not self._stopping.wait(_PAUSE_S)


def _tell(done: Pruned) -> None:
    if any(done.counts.values()):
        counts = ", ".join(f"{count} {kind}" for kind, count in done.counts.items() if count)
        log.info("pruned what ended before %s: %s", done.before.isoformat("T", "minutes"), counts)
