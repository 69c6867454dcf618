"""A command, a database for it, and hands that do what it queues."""

import socket

import pytest

from tests.support.command import lmx as lmx
from tests.support.command import register
from tests.support.hands import Hands
from tests.support.serving import hands as hands


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
