"""A history: runs that ended some days ago, with all that belongs to them."""

from collections.abc import Iterator

import pytest

from lmx.workflows.database.connect import Database
from tests.support.history import History


@pytest.fixture
def history(database: Database) -> Iterator[History]:
    """Hands that can make runs of the past."""
    past = History(database)
    yield past
    past.hands.close()
