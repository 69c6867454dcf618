"""Small servers on real sockets: things that answer where a Postgres was expected."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Handler = Callable[[socket.socket], None]


@contextmanager
def listening(handle: Handler) -> Iterator[int]:
    """Serve connections on a loopback port with `handle` until the block ends; give the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(client: socket.socket) -> None:
        with client:
            try:
                handle(client)
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def http_server(client: socket.socket) -> None:
    """Answer as a web server does to what it does not understand."""
    client.recv(1024)
    client.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def hang_up(client: socket.socket) -> None:
    """Close the connection without a word."""


def postgres_of_version(version: str) -> Handler:
    """Return a handler that lets anybody log in and calls itself Postgres `version`."""

    def handle(client: socket.socket) -> None:
        start = read_startup(client)
        if start == _SSL_REQUEST:
            client.sendall(b"N")
            read_startup(client)
        parameter = b"server_version\0" + version.encode() + b"\0"
        client.sendall(
            _message(b"R", struct.pack("!I", 0))
            + _message(b"S", parameter)
            + _message(b"K", struct.pack("!II", 1, 1))
            + _message(b"Z", b"I")
        )
        client.recv(1024)

    return handle


_SSL_REQUEST = struct.pack("!I", 80877103)


def read_startup(client: socket.socket) -> bytes:
    """Read one packet of the start-up phase, which has a length but no type; return its body."""
    (length,) = struct.unpack("!I", _read_exactly(client, 4))
    return _read_exactly(client, length - 4)


def _read_exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            raise OSError("the client left")
        data += part
    return data


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def forward(client: socket.socket, target: socket.socket) -> None:
    """Copy bytes both ways until either side closes."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return

    back = threading.Thread(target=copy, args=(target, client), daemon=True)
    back.start()
    copy(client, target)
    back.join()
