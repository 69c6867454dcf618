"""A one-shot result that a thread waits for: a future with half of the weight."""

from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Ticket(Generic[T]):
    """Set once by one thread with `done` or `fail`, waited for by another with `wait`."""

    __slots__ = ("_error", "_lock", "_value")

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()
        self._value: T | None = None
        self._error: BaseException | None = None

    def done(self, value: T) -> None:
        """Deliver the result."""
        self._value = value
        self._lock.release()

    def fail(self, error: BaseException) -> None:
        """Deliver an error; `wait` raises it."""
        self._error = error
        self._lock.release()

    def wait(self, timeout: float | None = None) -> T:
        """Return the result. Raises what `fail` was given, or TimeoutError after `timeout` s."""
        if not self._lock.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError
        self._lock.release()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]
