"""Models of both providers that can be called, and a home for rules."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from tests.support.routes import Routes


@pytest.fixture
def routes(
    database: Database, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Routes]:
    """All shipped cloud models, served by a worker that the test moves."""
    monkeypatch.setenv("LMX_HOME", str(tmp_path))
    found = Routes(database, client, tmp_path)
    yield found
    found.hands.close()
