"""`lmx up`: starts lmx's processes, keeps them running, and stops them in good order.

The supervisor is one process per home folder. It holds no state that matters: when it is killed,
its children end by themselves, and the next one takes every unfinished run up again.
"""

from lmx.api.supervisor.child import ChildSpec
from lmx.api.supervisor.daemon import start_detached
from lmx.api.supervisor.readiness import await_service
from lmx.api.supervisor.restarts import RestartPolicy
from lmx.api.supervisor.run import default_children, run_supervisor
from lmx.api.supervisor.status import ChildView, DatabaseView, StatusView, status
from lmx.api.supervisor.stopping import stop

__all__ = [
    "ChildSpec",
    "ChildView",
    "DatabaseView",
    "RestartPolicy",
    "StatusView",
    "await_service",
    "default_children",
    "run_supervisor",
    "start_detached",
    "status",
    "stop",
]
