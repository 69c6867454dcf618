"""What can go wrong, as the user meets it: one line, a stable code, an exit code, an HTTP status.

Exit codes: 1 the work failed, 2 the request was wrong, 3 the request was refused, 4 the wait timed
out, 5 the environment (configuration, database, disk, port) does not allow it.
"""

from typing import ClassVar, Final

from lmx.workflows.units import format_bytes

#: The exit code of a worker whose installation does not work: starting it again changes nothing.
EXIT_INSTALLATION: Final = 6


class LmxError(Exception):
    """Base of all errors shown to a user.

    `message` says what happened and what it means, `hint` what to do next; both are kept on one
    line. `str(error)` is the two together.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split()) if hint else None
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ConfigError(LmxError):
    """A setting has a value that cannot be used."""

    code = "config"
    exit_code = 5
    http_status = 500


class EngineUnusable(ConfigError):
    """The engine is installed and cannot be loaded: built for another Python or llama.cpp."""

    code = "engine_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the engine cannot be loaded: {reason}",
            hint="build it for this Python and this llama.cpp: make engine",
        )


class DatabaseUnavailable(LmxError):
    """Postgres cannot be reached, started or used."""

    code = "database_unavailable"
    exit_code = 5
    http_status = 503


class SchemaMismatch(LmxError):
    """The database's schema is older or newer than this program."""

    code = "schema_mismatch"
    exit_code = 5
    http_status = 503


class DiskFull(LmxError):
    """The database has no room left to write."""

    code = "disk_full"
    exit_code = 5
    http_status = 507


class PortTaken(LmxError):
    """The address that a server should listen on is already in use."""

    code = "port_taken"
    exit_code = 5
    http_status = 503


class InvalidInput(LmxError):
    """The request itself is wrong and would be wrong at any time."""

    code = "invalid_input"
    exit_code = 2
    http_status = 400


class TooLarge(InvalidInput):
    """The request carries more than one task may carry."""

    code = "too_large"
    http_status = 413


class NotFound(LmxError):
    """The run, task, model or workflow named does not exist."""

    code = "not_found"
    exit_code = 2
    http_status = 404


class Refused(LmxError):
    """The request is well formed, but a rule or the present state forbids it."""

    code = "refused"
    exit_code = 3
    http_status = 422


class Conflict(Refused):
    """The request contradicts something already recorded."""

    code = "conflict"
    http_status = 409


class BudgetExceeded(Refused):
    """The money that the request could cost is more than its budget has left."""

    code = "budget_exceeded"
    http_status = 402


class NeverFitsError(Refused):
    """A model needs more memory than the device will ever have; all three numbers are bytes."""

    code = "never_fits"

    def __init__(self, needs: int, cap: int, free: int, *, hint: str | None = None) -> None:
        self.needs, self.cap, self.free = needs, cap, free
        super().__init__(
            f"this can never fit: it needs {format_bytes(needs)}, the device's cap is"
            f" {format_bytes(cap)} and {format_bytes(free)} of it are free now",
            hint=hint or "choose a smaller model or context, or raise LMX_VRAM_CAP",
        )
        self.args = (needs, cap, free)


class TaskFailed(LmxError):
    """The work was done and ended in failure."""

    code = "task_failed"
    exit_code = 1
    http_status = 500


class TimedOut(LmxError):
    """The answer did not come within the time that the caller would wait."""

    code = "timed_out"
    exit_code = 4
    http_status = 504
