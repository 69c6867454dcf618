"""Results of Dramatiq actors, kept in Postgres."""

from time import monotonic, sleep
from typing import Any, Final

from dramatiq.encoder import Encoder
from dramatiq.message import Message
from dramatiq.results import ResultBackend, ResultMissing, ResultTimeout
from dramatiq.results.backend import DEFAULT_TIMEOUT, Missing
from dramatiq.results.result import unwrap_result, wrap_exception

from lmx.workers import outbox
from lmx.workers.outcome import in_base64
from lmx.workers.sending import KEY_PREFIX
from lmx.workflows.database.connect import Database
from lmx.workflows.database.hotpool import HotPool

_FIRST_POLL_S: Final = 0.002
_LAST_POLL_S: Final = 0.1
_PURGE_EVERY_S: Final = 60.0

# A message can fail without its hooks ever running: it killed its workers, or was cancelled.
_READ: Final = """
SELECT r.data, t.error->>'type', t.error->>'message', t.state::text
FROM (SELECT 1) one
LEFT JOIN lmx.results r ON r.key = %(key)s AND r.expires_at > clock_timestamp()
LEFT JOIN lmx.tasks t ON t.idempotency_key = %(message)s AND t.state IN ('failed', 'cancelled')
"""


class PostgresResults(ResultBackend):
    """A result backend for `dramatiq.results.Results`, safe against crashes.

    A result is written in the transaction that records the message's success, so there is never
    one without the other. The result of a message that failed is its error, also when the worker
    died with it.
    """

    def __init__(
        self,
        database: Database,
        *,
        namespace: str = "dramatiq-results",
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__(namespace=namespace, encoder=encoder)
        self._pool = HotPool(database)
        self._purge_at = monotonic() + _PURGE_EVERY_S

    def get_result(
        self, message: Message[Any], *, block: bool = False, timeout: int | None = None
    ) -> Any:
        """Return the result, waiting for it up to `timeout` ms (default 10 s) if `block` is set.

        Raises ResultMissing, ResultTimeout, and ResultFailure for the actor's own error.
        """
        until = monotonic() + (DEFAULT_TIMEOUT if timeout is None else timeout) / 1000
        pause = _FIRST_POLL_S
        while (result := self._read(message)) is Missing:
            if not block:
                raise ResultMissing(message)
            if monotonic() + pause > until:
                raise ResultTimeout(message)
            sleep(pause)
            pause = min(pause * 2, _LAST_POLL_S)
        return unwrap_result(result)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _read(self, message: Message[Any]) -> Any:
        row = {
            "key": self.build_message_key(message),
            "message": f"{KEY_PREFIX}{message.message_id}",
        }
        with self._pool.borrow() as conn:
            found = conn.execute(_READ, row, prepare=True).fetchone()
        if found is None:
            return Missing
        data, kind, text, state = found
        if data is not None:
            return self.encoder.decode(data)
        if state is None:
            return Missing
        failure = type(kind or "Failed", (Exception,), {})
        return wrap_exception(failure(text or f"the message was {state}"))

    def _store(self, message_key: str, result: Any, ttl: int) -> None:
        data, seconds = self.encoder.encode(result), ttl / 1000
        if delivery := outbox.current_delivery():
            outbox.add_effect(
                delivery, "result", key=message_key, data=in_base64(data), ttl=seconds
            )
            return
        with self._pool.borrow() as conn:
            conn.execute(
                "INSERT INTO lmx.results (key, data, expires_at)"
                " VALUES (%(key)s, %(data)s, clock_timestamp() + make_interval(secs => %(ttl)s))"
                " ON CONFLICT (key) DO UPDATE"
                " SET data = excluded.data, expires_at = excluded.expires_at",
                {"key": message_key, "data": data, "ttl": seconds},
            )
        self._purge()

    def _purge(self) -> None:
        """Delete what has expired, now and then."""
        if monotonic() >= self._purge_at:
            self._purge_at = monotonic() + _PURGE_EVERY_S
            with self._pool.borrow() as conn:
                conn.execute("DELETE FROM lmx.results WHERE expires_at <= clock_timestamp()")
