"""A worker that is killed while it runs a batch: nothing is lost, sent twice or paid twice.

Every point at which it can die: tests/cloud/test_batches.py.
"""

from collections.abc import Callable, Iterator

import pytest

from lmx.workflows.budgets import check_budgets
from lmx.workflows.client import Client
from lmx.workflows.views import list_batches, list_workers
from tests.support.batches import MODELS, POOLS
from tests.support.eventually import eventually
from tests.support.rehearsed import KEY, Rehearsed, profile
from tests.support.workers import WorkerProcess, Workers

pytestmark = pytest.mark.leaves_open
Start = Callable[..., WorkerProcess]

ACCOUNT = """
[[account]]
provider = "{provider}"
tier = 2
base_url = "{url}"
[account.batches]
enough = 3
poll_s = 0.2
settled_s = 0.2
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Rehearsed]:
    with Rehearsed(profile()) as server:
        server.pace_batches(seconds=0)
        yield server


@pytest.fixture
def start(workers: Workers, provider: Rehearsed) -> Start:
    """Starts workers of one account at the faithful provider, which knows no batches yet."""
    provider.forget_batches()

    def start(name: str, fault: str = "") -> WorkerProcess:
        (workers.folder / "providers.toml").write_text(
            ACCOUNT.format(provider=name, url=provider.url)
        )
        keys = {"ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": KEY}
        worker = workers.start(name, fault=fault, **keys)
        if not fault:
            workers.serving(worker)
        return worker

    return start


def queue(client: Client, name: str) -> list[int]:
    """Three calls that go together, once a worker has published its models."""

    def known() -> bool:
        with client.database.connect() as conn:
            row = conn.execute(
                "SELECT 1 FROM lmx.pools WHERE provider = %s AND model_group = %s",
                [name, f"{POOLS[name]}:batch"],
            ).fetchone()
        return row is not None

    eventually(known, "a pool for batches")
    asked = {"prompt": "Count.", "max_tokens": 50, "when": "cheap", "budget": {"usd": 10**9}}
    return [client.generate(model=MODELS[name], **asked) for _ in range(3)]


@pytest.mark.parametrize(
    ("name", "fault"), [("anthropic", "send_batch.before"), ("gemini", "record_batch.after")]
)
def test_a_batch_survives_its_worker(
    client: Client, start: Start, provider: Rehearsed, name: str, fault: str
) -> None:
    before = provider.counts(POOLS[name]).get("batches", 0)
    victim = start(name, fault)
    tasks = queue(client, name)
    victim.wait_gone()
    start(name)
    for task in tasks:
        assert client.result(task, timeout=20)["model"] == MODELS[name]
    assert provider.counts(POOLS[name])["batches"] == before + 1
    ended = eventually(
        lambda: [b for b in list_batches(client.database) if b.state == "ended"],
        "the end of the batch",
    )
    assert [(batch.calls, batch.succeeded) for batch in ended] == [(3, 3)]
    with client.database.connect() as conn:
        reasons = conn.execute("SELECT reason FROM lmx.charges WHERE unit = 'usd'").fetchall()
    assert reasons == [("settled",)] * 3
    assert check_budgets(client.database) == []


def test_a_worker_that_freezes_while_it_sends_takes_its_batch_back(
    client: Client, start: Start, provider: Rehearsed
) -> None:
    before = provider.counts("haiku").get("batches", 0)
    provider.fail({"kind": "hang", "count": 1})
    provider.pace_batches(seconds=0)
    frozen = start("anthropic")
    tasks = queue(client, "anthropic")
    eventually(lambda: provider.counts("haiku").get("batches", 0) > before, "the batch")
    frozen.freeze()
    start("anthropic")
    for task in tasks:
        client.result(task, timeout=20)
    frozen.thaw()
    assert provider.counts("haiku")["batches"] == before + 1
    assert check_budgets(client.database) == []


def test_a_worker_that_stops_leaves_its_batches_to_the_next(
    client: Client, start: Start, provider: Rehearsed, workers: Workers
) -> None:
    provider.pace_batches(seconds=3600)
    worker = start("anthropic")
    assert list_workers(client.database)[0].queues == (
        "anthropic",
        "anthropic/default",
        "anthropic/default:batch",
    )
    tasks = queue(client, "anthropic")
    eventually(lambda: list_batches(client.database), "a batch")
    eventually(lambda: list_batches(client.database)[0].state == "processing", "its sending")
    worker.send(15)
    worker.wait_gone()
    provider.pace_batches(seconds=0)
    start("anthropic")
    for task in tasks:
        client.result(task, timeout=20)
    assert "Traceback" not in workers.log.read_text()
