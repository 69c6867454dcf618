"""Calls by a route over HTTP: submitted, explained, refused."""

from collections.abc import Iterator

import httpx2
import pytest

from lmx.workflows.database.connect import Database
from tests.support.routes import Routes
from tests.support.serving import serving


@pytest.fixture
def api(database: Database, routes: Routes) -> Iterator[httpx2.Client]:
    with serving(database) as url, httpx2.Client(base_url=url, timeout=20) as client:
        yield client


def test_a_route_chooses_and_its_reasons_can_be_read(api: httpx2.Client, routes: Routes) -> None:
    call = {"route": "research", "labels": {"team": "a"}, "prompt": "Why?"}
    task = api.post("/v1/tasks", json=call).json()["id"]
    assert routes.where(task)[2] == "gemini-3.8-flash"
    (decision,) = api.get(f"/v1/tasks/{task}/decisions").json()["decisions"]
    assert decision["rule"] == "research and analysis"
    assert decision["features"]["labels"] == {"team": "a"}
    assert decision["candidates"][0]["verdict"] == "chosen"
    assert decision["cost"].startswith("0.0")
    routed = api.get(f"/v1/tasks/{task}").json()["routed"]
    assert (routed["route"], routed["model"]) == ("research", "gemini-3.8-flash")
    assert (routed["why"], routed["reason"]) == ("the first that can take it", "submitted")
    assert [one["model"] for one in routed["candidates"]] == [
        one["model"] for one in decision["candidates"]
    ]
    told = api.get("/v1/routes").json()
    assert "research" in told["routes"]
    assert told["version"] == decision["rules_version"]


def test_what_cannot_be_meant_or_done_is_refused(api: httpx2.Client, routes: Routes) -> None:
    for call, status in (
        ({"route": "nope"}, 404),
        ({"route": "research", "model": "claude-haiku-5-5"}, 422),
        ({"route": "research", "private": True}, 422),
        ({"private": True}, 422),
        ({"model": "claude-haiku-5-5", "private": True}, 422),
        ({"route": "research", "labels": {"a b": "c"}}, 400),
    ):
        answer = api.post("/v1/tasks", json={"prompt": "Why?", **call})
        assert answer.status_code == status, (call, answer.text)
    named = api.post("/v1/tasks", json={"model": "claude-haiku-5-5", "prompt": "Why?"})
    assert api.get(f"/v1/tasks/{named.json()['id']}/decisions").status_code == 404
    assert api.get(f"/v1/tasks/{named.json()['id']}").json()["routed"] is None
    assert routes.hands.value("SELECT count(*) FROM lmx.tasks") == 1
