"""Fixtures for the tests of the core."""

import pytest

from tests.support.workers import Workers


@pytest.fixture
def served(workers: Workers, request: pytest.FixtureRequest) -> Workers:
    """Two worker processes that run the coordinators and workers defined beside the tests."""
    workers.settings["LMX_WORKFLOWS"] = f"tests.core.{request.path.stem}"
    for queue in ("coordinator", "default"):
        workers.start(queue)
    return workers
