"""One fixture, `subject`: every test here runs against Dramatiq's StubBroker and against ours."""

from collections.abc import Iterator

import dramatiq.broker
import pytest
from dramatiq import Middleware

from tests.broker_conformance.subject import PostgresSubject, StubSubject, Subject

BROKERS = ("stub", "postgres")


@pytest.fixture(params=BROKERS)
def broker_kind(request: pytest.FixtureRequest) -> str:
    """Which broker is under test."""
    return str(request.param)


@pytest.fixture
def middleware() -> list[Middleware]:
    """Middleware that a module adds to Dramatiq's defaults; override it there."""
    return []


@pytest.fixture
def subject(
    broker_kind: str,
    request: pytest.FixtureRequest,
    middleware: list[Middleware],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Subject]:
    """The broker under test, with result and rate limiter backends of its own kind."""
    made: Subject
    if broker_kind == "stub":
        made = StubSubject(middleware)
    else:
        made = PostgresSubject(request.getfixturevalue("database"), middleware)
    monkeypatch.setattr(dramatiq.broker, "global_broker", made.broker)
    yield made
    made.close()


@pytest.fixture
def keeps_unacked(subject: Subject) -> None:
    """For guarantees that a broker in memory cannot give: what was fetched is never lost."""
    if not subject.keeps_unacked:
        pytest.skip("StubBroker forgets what its consumers had fetched and not acknowledged")
