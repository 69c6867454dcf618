"""The real API server on a free loopback port, in a thread of the test."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from lmx.api.address import listen, url_of
from lmx.api.http.server import build
from lmx.workflows.database.connect import Database
from tests.support.eventually import eventually
from tests.support.hands import COORDINATORS, QUEUE, Hands

# libuv keeps a pipe for the whole process from its first loop on: no test shall be blamed for it.
with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as first:
    first.get_loop()


@contextmanager
def serving(database: Database, grace_s: float = 5) -> Iterator[str]:
    """Serve `database` during the block; give the server's address, and stop it at the end."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = build(database, "127.0.0.1", port, grace_s=grace_s)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        eventually(lambda: server.started, "the server's start")
        yield url_of("127.0.0.1", port)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the server did not stop"
        database.engine.dispose()


@contextmanager
def known_functions(database: Database) -> Iterator[Hands]:
    """Give hands for `database`, where workers have published `call` and `review`."""
    hands = Hands(database)
    hands.conn.execute(
        "INSERT INTO lmx.catalog (name, role, queue) VALUES"
        " ('call', 'worker', %s), ('review', 'coordinator', %s)",
        [QUEUE, COORDINATORS],
    )
    try:
        yield hands
    finally:
        hands.close()


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    """A worker that the test moves, and the functions `call` and `review`."""
    with known_functions(database) as worker:
        yield worker
