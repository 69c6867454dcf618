"""One faithful provider for the tests that need no limits of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.database.connect import Database
from tests.support.command import Lmx
from tests.support.pools import Pools
from tests.support.rehearsed import Rehearsed, profile


@pytest.fixture(scope="session")
def generous() -> Iterator[Rehearsed]:
    with Rehearsed(profile()) as server:
        yield server


@pytest.fixture
def rehearsed(generous: Rehearsed) -> Iterator[Rehearsed]:
    """The generous provider, without faults."""
    generous.fail()
    yield generous
    generous.fail()


@pytest.fixture
def pools(database: Database) -> Iterator[Pools]:
    pools = Pools(database)
    yield pools
    pools.hands.close()


@pytest.fixture
def lmx(
    tmp_path: Path,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Lmx:
    """The command, with the test's database."""
    return Lmx(tmp_path / "home", database, monkeypatch, capsys)
