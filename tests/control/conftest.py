"""Fixtures for the tests of control."""

from collections.abc import Iterator

import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.views import check_budgets
from tests.support.hands import Hands


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    """A worker moved by hand; whatever the test did, every budget must add up at the end."""
    worker = Hands(database)
    yield worker
    worker.close()
    assert check_budgets(database) == []
