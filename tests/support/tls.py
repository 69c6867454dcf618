"""A Postgres behind TLS: a proxy that speaks the protocol's TLS handshake for a plain server."""

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.listener import forward, listening, read_startup


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for localhost and its key; return their files."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate needs the openssl program")
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return certificate, key


@contextmanager
def tls_in_front_of(server_socket: Path, certificate: Path, key: Path) -> Iterator[int]:
    """Accept TLS connections for the server that listens on `server_socket`; give the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def handle(client: socket.socket) -> None:
        read_startup(client)
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as encrypted,
            socket.socket(socket.AF_UNIX) as target,
        ):
            startup = read_startup(encrypted)
            target.connect(str(server_socket))
            target.sendall(struct.pack("!I", len(startup) + 4) + startup)
            forward(encrypted, target)

    with listening(handle) as port:
        yield port
