"""What people and programs do to runs, tasks and queues from outside of any worker."""

from lmx.workflows.control.cancelling import cancel
from lmx.workflows.control.deadlines import expire_deadlines
from lmx.workflows.control.forking import fork
from lmx.workflows.control.judging import judge
from lmx.workflows.control.pausing import pause_queue, pause_run, resume_queue, resume_run
from lmx.workflows.control.retrying import resume_failed_run, retry
from lmx.workflows.control.signalling import signal

__all__ = [
    "cancel",
    "expire_deadlines",
    "fork",
    "judge",
    "pause_queue",
    "pause_run",
    "resume_failed_run",
    "resume_queue",
    "resume_run",
    "retry",
    "signal",
]
