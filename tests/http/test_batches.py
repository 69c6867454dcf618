"""Batches over HTTP: listed newest first, in pages, by state, pool and model."""

import httpx2
import pytest

from lmx.workflows.database.connect import Database
from lmx.workflows.views import list_batches
from tests.support.hands import Hands

STATES = ["ended", "processing", "ended", "sending"]


@pytest.fixture(autouse=True)
def batches(hands: Hands) -> None:
    """Four batches, of which two have ended; the first has an answer and a call that failed."""
    hands.conn.execute(
        "INSERT INTO lmx.pools (name, queue, provider, account, model_group)"
        " VALUES ('p/a/g', 'p', 'p', 'a', 'g'), ('p/b/g', 'p', 'p', 'b', 'g')"
    )
    for number, state in enumerate(STATES):
        hands.conn.execute(
            "INSERT INTO lmx.batches (pool_id, model, token, state, calls, tokens, next_at,"
            " ended_at) VALUES (1 + %s, %s, %s, %s, 2, 9,"
            " CASE WHEN %s THEN NULL ELSE now() END, CASE WHEN %s THEN now() END)",
            [number // 2, f"m{number % 2}", str(number), state, state == "ended", state == "ended"],
        )
    hands.conn.execute(
        "INSERT INTO lmx.batch_calls (batch_id, task_id, lease_seq, outcome)"
        " VALUES (1, 1, 1, 'succeeded'), (1, 2, 1, 'expired'), (2, 3, 1, NULL)"
    )


def ids(api: httpx2.Client, **params: object) -> list[int]:
    answer = api.get("/v1/batches", params=params)
    assert answer.status_code == 200, answer.text
    return [batch["id"] for batch in answer.json()["batches"]]


def test_batches_are_listed_newest_first_in_pages(api: httpx2.Client) -> None:
    first = api.get("/v1/batches", params={"limit": 3}).json()
    assert ([batch["id"] for batch in first["batches"]], first["next"]) == ([4, 3, 2], 2)
    rest = api.get("/v1/batches", params={"limit": 3, "before": first["next"]}).json()
    assert ([batch["id"] for batch in rest["batches"]], rest["next"]) == ([1], None)


def test_batches_are_filtered(api: httpx2.Client) -> None:
    assert ids(api, state="active") == [4, 2]
    assert ids(api, state="ended", pool="p/b/g") == [3]
    assert ids(api, model="m1", pool="p/a/g") == [2]
    assert ids(api, pool="nobody's") == []
    refused = api.get("/v1/batches", params={"state": "late"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert "states are active, sending" in refused.json()["hint"]


def test_the_facts_are_those_of_the_command(api: httpx2.Client, database: Database) -> None:
    *_, first = api.get("/v1/batches").json()["batches"]
    *_, view = list_batches(database)
    assert first.keys() == set(type(view).__dataclass_fields__)
    assert (first["calls"], first["waiting"], first["succeeded"], first["failed"]) == (2, 0, 1, 1)
    described = api.get("/openapi.json").json()["paths"]["/v1/batches"]["get"]
    assert [one["name"] for one in described["parameters"]] == [
        "state", "pool", "model", "limit", "before",
    ]  # fmt: skip
