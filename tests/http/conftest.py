"""A real server on a free loopback port, with a database of its own and functions it knows."""

from collections.abc import Iterator

import httpx2
import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model, Need, add_model
from tests.support.hands import Hands
from tests.support.routes import routes as routes
from tests.support.serving import hands as hands
from tests.support.serving import serving


@pytest.fixture
def url(database: Database, hands: Hands) -> Iterator[str]:
    """Run the API on `database` during the test; give its address."""
    with serving(database) as address:
        yield address


@pytest.fixture
def api(url: str) -> Iterator[httpx2.Client]:
    """A client of that server."""
    with httpx2.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def model(hands: Hands) -> str:
    """A registered model and a device that it can never fit with a context of 4096 tokens."""
    needs = {512: Need(weights=100, kv=10, compute=5), 4096: Need(weights=100, kv=900, compute=5)}
    info = {"architecture": "llama"}
    model = Model("tiny", "/models/tiny.gguf", "0" * 64, 100, 512, 1, 2, info, needs)
    add_model(hands.conn, model)
    hands.conn.execute(
        "INSERT INTO lmx.devices (host, name, cap_bytes, worker_id)"
        " VALUES ('here', 'cpu', 500, %s)",
        [hands.worker],
    )
    return model.name
