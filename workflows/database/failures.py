"""Turns a psycopg failure into one line: what happened, where, and what to do next."""

import re
from collections.abc import Callable

import psycopg
from psycopg import errors as pg

from lmx.workflows.errors import DatabaseUnavailable, DiskFull, LmxError

_URL = "check LMX_DATABASE_URL"
_RESTART = "start lmx's own server with: lmx up"

_STARTING = r"is starting up|in recovery mode|not yet accepting"

# What libpq or the server says while connecting -> what it means, what to do. First match wins.
_CONNECTING: tuple[tuple[str, str, str], ...] = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        "refused the user name or password",
        _URL,
    ),
    (r"no pg_hba\.conf entry", "does not admit this user, host or encryption", "see pg_hba.conf"),
    (r'role "(?P<what>.+?)" does not exist', "knows no user {what}", _URL),
    (
        r'database "(?P<what>.+?)" does not exist',
        "has no database {what}",
        "create it (createdb {what}), or correct LMX_DATABASE_URL",
    ),
    (r"too many clients|remaining connection slots|too many connections", "has no connection"
     " free", "raise its max_connections, or stop clients that need none"),
    (_STARTING, "is starting up", "try again soon"),
    (r"is shutting down|administrator command", "is shutting down", "start it again"),
    (r"connection refused", "does not answer: nothing listens there", "start Postgres there, or"
     " correct LMX_DATABASE_URL"),
    (r"no such file or directory", "does not answer: there is no such socket", "start Postgres"
     " there, or correct LMX_DATABASE_URL"),
    (r"permission denied", "cannot be opened: permission denied", "run as a user who may use its"
     " socket"),
    (
        r"could not translate host name|name or service not known|nodename nor servname"
        r"|failed to resolve host|name resolution|no address associated",
        "cannot be found: the host name is unknown",
        _URL,
    ),
    (r"timeout expired|timed out", "did not answer in time", "check the host, the port and the"
     " firewall between"),
    (r"no route to host|network is unreachable", "cannot be reached from this network", _URL),
    (r"does not support ssl", "does not offer TLS", "set sslmode=prefer, or turn TLS on in the"
     " server"),
    (r"certificate|ssl error|tls", "did not prove its identity by TLS", "check sslmode and"
     " sslrootcert"),
    (
        r"invalid response|expected authentication request|unsupported frontend protocol"
        r"|received data that did not match|message contents do not agree|lost synchronization",
        "is not a Postgres server",
        _URL,
    ),
    (r"closed the connection unexpectedly|connection reset", "closed the connection: it is not a"
     " Postgres, or it just stopped", _URL),
    (r"invalid (?:value|sslmode|integer)", "cannot be used as written", _URL),
)  # fmt: skip


def connect_failure(
    error: psycopg.Error, place: str, *, embedded: bool = False
) -> DatabaseUnavailable:
    """Return the one-line error for a connection to `place` that failed with `error`."""
    meaning, hint = _explain(str(error))
    return DatabaseUnavailable(
        f"Postgres at {place} {meaning}", hint=_RESTART if embedded else hint
    )


def is_starting(error: psycopg.Error) -> bool:
    """Return whether the server refused a connection only because it is not ready yet."""
    return re.search(_STARTING, str(error), re.IGNORECASE) is not None


def _explain(text: str) -> tuple[str, str]:
    """Return what libpq's message means and what to do about it."""
    for pattern, meaning, hint in _CONNECTING:
        if match := re.search(pattern, text, re.IGNORECASE):
            names = match.groupdict()
            return meaning.format(**names), hint.format(**names)
    return f"cannot be used: {_last_line(text)}", _URL


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"


_RUNNING: tuple[tuple[type[psycopg.Error], Callable[[str], LmxError]], ...] = (
    (
        pg.DiskFull,
        lambda place: DiskFull(
            f"the disk of Postgres at {place} is full, so nothing was written",
            hint="free some space there, then try again",
        ),
    ),
    (
        pg.InsufficientPrivilege,
        lambda place: DatabaseUnavailable(
            f"the user of Postgres at {place} lacks a permission that lmx needs",
            hint="let it create the schema lmx: GRANT CREATE ON DATABASE ... TO ...",
        ),
    ),
    (
        pg.ReadOnlySqlTransaction,
        lambda place: DatabaseUnavailable(
            f"Postgres at {place} is read-only (a standby?)",
            hint="point LMX_DATABASE_URL at the primary",
        ),
    ),
)


def failure_of(error: BaseException, place: str) -> LmxError | None:
    """Return the one-line error for a failed statement, or None if it is not the server's state.

    `error` may be psycopg's or SQLAlchemy's wrapping of it. None means a defect or a broken rule
    of the schema: let that one through.
    """
    cause = getattr(error, "orig", None) or error
    for kind, explain in _RUNNING:
        if isinstance(cause, kind):
            return explain(place)
    if isinstance(cause, psycopg.OperationalError):
        return connect_failure(cause, place)
    return None
