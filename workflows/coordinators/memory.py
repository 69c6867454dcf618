"""The working memory of a run: keys and JSON values that its coordinators share."""

from typing import Any

import orjson

from lmx.workflows.coordinators.journal import Journal
from lmx.workflows.errors import InvalidInput
from lmx.workflows.submission import encode_input


class Memory:
    """`ctx.memory`. Reads are recorded, so that replays see what the first pass saw."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def get(self, key: str, default: Any = None) -> Any:
        """The value of `key`, or `default`."""
        found = self._read(key, "SELECT value FROM lmx.memory WHERE run_id = %s AND key = %s", key)
        return found[0] if found else default

    def keys(self) -> list[str]:
        """All keys, sorted."""
        query = "SELECT key FROM lmx.memory WHERE run_id = %s ORDER BY key"
        return list(self._read("keys", query))

    def set(self, key: str, value: Any) -> None:
        """Set `key`; written once, in the transaction that records that it was."""
        self._write(key, value, gone=False)

    def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        self._write(key, None, gone=True)

    def _read(self, key: str, query: str, *arguments: str) -> list[Any]:
        journal = self._journal
        record = journal.history.numbered("memory", f"memory:get:{_checked(key)}")
        if record in journal.history.steps:
            return list(journal.history.steps[record])
        journal.flush()
        with journal.port.borrow() as conn:
            rows = conn.execute(query, [journal.lease.root_id, *arguments]).fetchall()
        return list(journal.record(record, [value for (value,) in rows]))

    def _write(self, key: str, value: Any, *, gone: bool) -> None:
        journal = self._journal
        record = journal.history.numbered("memory", f"memory:set:{_checked(key)}")
        if record in journal.history.steps:
            return
        text = orjson.Fragment(encode_input(value, f"the value of {key!r}"))
        write = journal.operation("memory", key=key, value=text, gone=gone, record=record)
        journal.record(record, True, write)


def _checked(key: str) -> str:
    if not key or "\x00" in key or len(key) > 200:
        raise InvalidInput("a memory key has 1 to 200 characters and no NUL")
    return key
