"""Count client round trips by relaying the Postgres protocol between two unix sockets.

A round trip is a simple Query, a Sync or a Flush from the client: what makes a client wait. Several
statements sent in one pipeline therefore count once. Used only in counting rounds, never in timed
ones.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
from pathlib import Path
from types import TracebackType

_SOCKET_NAME = ".s.PGSQL.5432"
_WAITS = frozenset(b"QSHF")
_CHUNK = 65536


class Relay:
    """A socket directory to connect to in place of the server's (a context manager)."""

    def __init__(self, server_directory: Path) -> None:
        self._target = str(server_directory / _SOCKET_NAME)
        self._lock = threading.Lock()
        self.round_trips = 0

    def __enter__(self) -> Relay:
        self._folder = tempfile.TemporaryDirectory(prefix="lmx-relay-")
        self.directory = Path(self._folder.name)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.directory / _SOCKET_NAME))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                for run in (self._forward, self._return):
                    threading.Thread(target=run, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        messages = _Messages()
        with contextlib.suppress(OSError):
            while chunk := client.recv(_CHUNK):
                if waits := messages.feed(chunk):
                    with self._lock:
                        self.round_trips += waits
                server.sendall(chunk)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _return(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := server.recv(_CHUNK):
                client.sendall(chunk)
        for end in (client, server):
            end.close()


class _Messages:
    """Splits one direction of a connection into messages and counts those that end a trip."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._started = False

    def feed(self, chunk: bytes) -> int:
        """Add bytes from the client; how many messages among them wait for an answer."""
        self._buffer += chunk
        waits = 0
        while (length := self._length()) and len(self._buffer) >= length:
            if self._started and self._buffer[0] in _WAITS:
                waits += 1
            # An SSL or GSS request has the same shape as a start-up message but more follows it.
            request = struct.unpack_from("!i", self._buffer, 4)[0] if not self._started else 0
            self._started = self._started or request not in (80877103, 80877104)
            del self._buffer[:length]
        return waits

    def _length(self) -> int:
        offset = 1 if self._started else 0
        if len(self._buffer) < offset + 4:
            return 0
        return offset + int(struct.unpack_from("!i", self._buffer, offset)[0])


__all__ = ["Relay"]
