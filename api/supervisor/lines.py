"""Cuts a child's output into lines."""

import asyncio
from collections.abc import Callable

#: A line longer than this is cut: a child that prints no newline must not fill the memory.
LONGEST = 32 * 1024


class Lines(asyncio.Protocol):
    """Calls `on_line` for every line that arrives; `closed` is set at the end of the output."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.closed = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take the next piece of output."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(self._rest) > LONGEST:
            self._emit(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Give out a last line that has no newline."""
        if self._rest:
            self._emit(self._rest)
        self._rest = b""
        self.closed.set()

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if text:
            self._on_line(text)
