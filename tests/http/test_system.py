"""Queues, workers, models, health, documentation."""

from collections.abc import Iterator

import httpx2
import pytest

from lmx.api.address import listen
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import ConfigError, PortTaken
from tests.http.test_tasks import submit
from tests.support.hands import Hands
from tests.support.postgres import PostgresServer
from tests.support.serving import serving


def test_queues_show_what_waits_in_them(api: httpx2.Client, hands: Hands) -> None:
    submit(api)
    submit(api)
    submit(api, delay=60)
    hands.take()
    queues = {queue["name"]: queue for queue in api.get("/v1/queues").json()["queues"]}
    work = queues["work"]
    assert (work["ready"], work["leased"], work["scheduled"], work["paused"]) == (1, 1, 1, False)


def test_a_paused_queue_hands_out_nothing_until_it_is_resumed(
    api: httpx2.Client, hands: Hands
) -> None:
    submit(api)
    assert api.post("/v1/queues/work/pause").status_code == 200
    assert hands.claim() == []
    assert api.post("/v1/queues/work/resume").status_code == 200
    assert len(hands.claim()) == 1


def test_workers_show_what_they_hold(api: httpx2.Client, hands: Hands) -> None:
    submit(api)
    hands.take()
    (worker,) = api.get("/v1/workers").json()["workers"]
    assert (worker["name"], worker["alive"], worker["leased"]) == ("hands", True, 1)


def test_models_show_their_needs_and_prices(api: httpx2.Client, model: str) -> None:
    (found,) = api.get("/v1/models").json()["models"]
    assert found["name"] == model
    assert found["needs"] == {"512": 115, "4096": 1005}
    assert (found["price_in"], found["price_out"]) == ("0.000000001", "0.000000002")
    assert "path" not in found


def test_the_server_is_alive_and_ready(api: httpx2.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"status": "ok"}


def test_the_documentation_describes_every_path(api: httpx2.Client) -> None:
    document = api.get("/openapi.json").json()
    assert "text/html" in api.get("/docs").headers["content-type"]
    operations = [verb for path in document["paths"].values() for verb in path.values()]
    assert all(verb.get("summary") and verb.get("description") for verb in operations)
    task = document["paths"]["/v1/tasks"]["post"]
    assert any(one["name"] == "Idempotency-Key" for one in task["parameters"])


@pytest.fixture
def fragile(pg_server: PostgresServer) -> Iterator[Database]:
    """A database whose server the test may stop."""
    with pg_server.fresh_database() as database:
        yield Database(database.conninfo)


def test_a_database_that_is_down_is_said_in_one_line_and_its_return_is_noticed(
    fragile: Database, pg_server: PostgresServer
) -> None:
    new = {"function": "x", "queue": "q"}
    with serving(fragile) as url, httpx2.Client(base_url=url, timeout=60) as client:
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/tasks", json=new).status_code == 201
        pg_server.stop()
        down = (client.get("/readyz"), client.get("/v1/runs"), client.post("/v1/tasks", json=new))
        for answer in down:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == "database_unavailable"
        assert client.get("/healthz").status_code == 200
        pg_server.start()
        assert len(client.get("/v1/runs").json()["runs"]) == 1
        assert client.post("/v1/tasks", json=new).status_code == 201


def test_a_taken_port_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is already in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_only_loopback_addresses_are_listened_on(host: str) -> None:
    with pytest.raises(ConfigError, match="would open the API to the network"):
        listen(host, 0)
