"""Fixtures for all tests: homes, Postgres servers and fresh databases."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from tests.support.hands import Hands
from tests.support.leaks import Holdings, left_behind
from tests.support.postgres import (
    PostgresServer,
    make_home,
    prepared_server,
    remove_abandoned_homes,
    remove_home,
    scratch_folder,
)
from tests.support.workers import Workers
from tests.support.zygote import Zygote

_SHARED_HOME = "LMX_TEST_HOME"


def pytest_configure(config: pytest.Config) -> None:
    """Choose the shared server's home before xdist's workers inherit the environment."""
    # A shell's background job ignores SIGINT, and so would all the processes that tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("LMX_") and name != _SHARED_HOME]:
        del os.environ[name]
    if not hasattr(config, "workerinput"):
        remove_abandoned_homes()
        os.environ[_SHARED_HOME] = str(make_home(scratch_folder()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the shared server: the controller ends after all of its workers."""
    if not hasattr(config, "workerinput") and _SHARED_HOME in os.environ:
        remove_home(Path(os.environ.pop(_SHARED_HOME)))


def pytest_collection_finish() -> None:
    """Take what is imported out of the collector's sight: `nothing_left_open` collects often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which descriptors or threads are left, unless it is marked leaves_open."""
    before = Holdings.now()
    yield
    if request.node.get_closest_marker("leaves_open") is None:
        left = left_behind(before)
        assert not left, f"the test has left open: {', '.join(left)}"


@pytest.fixture(scope="session")
def shared_postgres() -> PostgresServer:
    """The one server of this test run, shared by all xdist workers. Never stop it in a test."""
    return PostgresServer(Path(os.environ[_SHARED_HOME]))


@pytest.fixture
def database(shared_postgres: PostgresServer) -> Iterator[Database]:
    """A fresh, migrated database of the test's own."""
    with shared_postgres.fresh_database() as fresh:
        yield fresh


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder for LMX_HOME; an embedded server started in it is stopped at the end."""
    folder = make_home()
    yield folder
    remove_home(folder)


@pytest.fixture
def pg_server(home: Path) -> PostgresServer:
    """A server of the test's own, not yet started, to stop, crash and start again."""
    return prepared_server(home, Path(os.environ[_SHARED_HOME]) / "prepared")


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Starts worker processes quickly."""
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture
def workers(database: Database, tmp_path: Path, zygote: Zygote) -> Iterator[Workers]:
    """Worker processes of the test's own, whose leases end after 1.5 s of silence."""
    settings = {"LMX_LEASE_S": "1.5", "LMX_HEARTBEAT_S": "0.3", "LMX_POLL_S": "0.2"}
    workers = Workers(database, tmp_path, zygote, settings)
    yield workers
    workers.close()


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """Submits to the test's database."""
    client = Client(database)
    yield client
    client.close()


@pytest.fixture
def hands(database: Database) -> Iterator[Hands]:
    """A worker moved by hand."""
    worker = Hands(database)
    yield worker
    worker.close()
