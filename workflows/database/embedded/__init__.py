"""The private Postgres that lmx starts for itself when no LMX_DATABASE_URL is set.

One server per home folder, shared by every process that uses that home. Whoever needs it first
starts it (`ensure_running`), later processes join it, and it goes on running when they leave or
die: only `stop` ends it. After a crash whoever connects next brings it back (`revive`). It listens
on a Unix socket in a private folder and on no network port.
"""

from lmx.workflows.database.embedded.lifecycle import (
    EmbeddedStatus,
    ensure_running,
    revive,
    status,
    stop,
)
from lmx.workflows.database.embedded.start import START_TIMEOUT_S

__all__ = ["START_TIMEOUT_S", "EmbeddedStatus", "ensure_running", "revive", "status", "stop"]
