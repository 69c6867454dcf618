"""What the engine raises, as what a task records."""

from collections.abc import Iterator
from contextlib import contextmanager

from lmx.engine import Cancelled as EngineCancelled
from lmx.engine import DeadlineExceeded, InvalidRequest, ModelFileError, NeverFits
from lmx.workers.running import Cancelled, Execution
from lmx.workflows.errors import InvalidInput, NeverFitsError, TimedOut


@contextmanager
def recorded(execution: Execution) -> Iterator[None]:
    """Raise what `Executor` records for an error of the engine's."""
    try:
        yield
    except EngineCancelled:
        # Somebody stopped it, or the engine is closing: then the lease's end gives it back.
        raise (execution.reason or Cancelled)() from None
    except DeadlineExceeded:
        raise TimedOut("its deadline passed before the answer was complete") from None
    except NeverFits as error:
        raise NeverFitsError(error.needs, error.cap, error.free) from None
    except (InvalidRequest, ModelFileError) as error:
        raise InvalidInput(str(error)) from None
