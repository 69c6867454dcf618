"""Fixtures for the tests of views."""

from collections.abc import Iterator

import pytest

from lmx.workflows.database.connect import Database
from tests.support.hands import Hands


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    """A worker moved by hand."""
    worker = Hands(database)
    yield worker
    worker.close()
