"""A command, a database for it, and hands that do what it queues."""

import socket
from collections.abc import Iterator

import pytest

from lmx.workflows.database.connect import Database
from tests.support.command import lmx as lmx
from tests.support.command import register
from tests.support.hands import Hands
from tests.support.serving import known_functions


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    """A worker that the test moves, and the functions `call` and `review`."""
    with known_functions(database) as worker:
        yield worker


@pytest.fixture
def model(hands: Hands) -> str:
    """The name of a registered model, whose file is never opened."""
    return register(hands, "tiny")


@pytest.fixture
def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
