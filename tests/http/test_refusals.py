"""Bad requests: one clear problem each, and nothing half-written."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from lmx.workflows.models import Model, add_model
from tests.support.hands import Hands
from tests.support.models import shipped_model
from tests.support.postgres import PostgresServer
from tests.support.serving import known_functions, serving

pytestmark = pytest.mark.leaves_open("one server serves all tests of this module")

CALL = {"function": "call"}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


def problem(answer: httpx2.Response, status: int, code: str) -> str:
    """Check that the answer is this problem, in one line; return its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:lmx:problem:{code}"
    assert body["title"]
    assert "\n" not in body["detail"]
    return str(body["detail"])


@pytest.fixture(scope="module")
def hands(shared_postgres: PostgresServer) -> Iterator[Hands]:
    """One database for all tests of this module: none of them writes anything."""
    with shared_postgres.fresh_database() as database, known_functions(database) as hands:
        yield hands


@pytest.fixture(scope="module")
def url(hands: Hands) -> Iterator[str]:
    """One server for all tests of this module."""
    with serving(hands.database) as address:
        yield address


@pytest.fixture(autouse=True)
def nothing_written(api: httpx2.Client, hands: Hands) -> Iterator[None]:
    """Fail a test whose refused request has left a task behind."""
    yield
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 0


def test_an_unknown_function_is_named_with_those_that_exist(api: httpx2.Client) -> None:
    answer = api.post("/v1/tasks", json={"function": "cal"})
    assert "'cal'; known: call, review" in problem(answer, 404, "not_found")


def test_an_unknown_workflow_is_named(api: httpx2.Client) -> None:
    answer = api.post("/v1/runs", json={"workflow": "reveiw"})
    assert "'reveiw'" in problem(answer, 404, "not_found")


def test_an_unknown_model_is_named(api: httpx2.Client) -> None:
    answer = api.post("/v1/tasks", json={"model": "gpt", "prompt": "Hi"})
    assert "'gpt'" in problem(answer, 404, "not_found")


@pytest.mark.parametrize("body", ["{", "", '{"function": "call"', "nothing", "\xff"])
def test_bad_json_is_refused(api: httpx2.Client, body: str) -> None:
    headers = {"content-type": "application/json"}
    answer = api.post("/v1/tasks", content=body.encode("latin-1"), headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_bad_json_says_what_is_wrong(api: httpx2.Client) -> None:
    answer = api.post("/v1/tasks", content="{", headers={"content-type": "application/json"})
    assert "not valid JSON" in problem(answer, 400, "invalid_json")


def test_json_nested_without_end_is_refused(api: httpx2.Client) -> None:
    body = '{"function": "call", "args": ' + "[" * 200_000 + "]" * 200_000 + "}"
    answer = api.post("/v1/tasks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"function": "call", "args": ["a\x00b"]}, "NUL"),
        ({"function": "ca\x00ll"}, "NUL"),
        ({"function": "call", "kwargs": {"a\x00": 1}}, "NUL"),
        ({"model": "tiny", "prompt": "a\x00b"}, "NUL"),
        ({"function": "call", "budget": {"usd": "-0.01"}}, "it must be 0 or more"),
        ({"function": "call", "budget": {"pages": -1}}, "pages must be a whole number"),
        ({"function": "call", "budget": {"usd": 0.05}}, "usd must be a string of dollars"),
        ({"function": "call", "budget": {"usd": "0.0000000001"}}, "nano-dollars"),
        ({"function": "call", "priority": 1001}, "body.priority"),
        ({"function": "call", "delay": -1}, "body.delay"),
        ({"function": "call", "promt": "x"}, "body.promt"),
        ({"model": "tiny"}, "give either a prompt or messages"),
        ({"model": "tiny", "prompt": "  "}, "the prompt is empty"),
        ({"model": "tiny", "messages": [{"role": "boss", "content": "x"}]}, "body.messages.0.role"),
        ({"model": "tiny", "prompt": "x", "temperature": -1}, "body.temperature"),
        ({"model": "tiny", "prompt": "x", "logprobs": 21}, "body.logprobs"),
        ({"model": "tiny", "prompt": "x", "json_schema": True}, "body.json_schema"),
        ({}, "body.function"),
        ([], "body"),
    ],
)
def test_a_body_that_cannot_be_meant_names_the_place(
    api: httpx2.Client, body: object, told: str
) -> None:
    assert told in problem(api.post("/v1/tasks", json=body), 422, "invalid_input")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '"\\ud800"'])
def test_what_json_cannot_carry_is_refused(api: httpx2.Client, text: str) -> None:
    body = f'{{"function": "call", "args": [{text}]}}'
    answer = api.post("/v1/tasks", content=body, headers={"content-type": "application/json"})
    problem(answer, 422, "invalid_input")


def test_a_number_too_big_to_store_is_refused(api: httpx2.Client) -> None:
    assert api.post("/v1/tasks", json={**CALL, "args": [10**400]}).status_code in (400, 422)


def test_a_body_of_another_type_is_refused(api: httpx2.Client) -> None:
    headers = {"content-type": "text/plain"}
    answer = api.post("/v1/tasks", content=json.dumps(CALL), headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_cannot_be_stored_is_refused(api: httpx2.Client, key: str) -> None:
    answer = api.post("/v1/tasks", json=CALL, headers={"Idempotency-Key": key})
    problem(answer, 422, "invalid_input")


def test_a_prompt_of_100_mb_is_refused_and_the_client_hears_it(url: str) -> None:
    body = json.dumps({"model": "tiny", "prompt": "x" * 100_000_000}).encode()
    answer = httpx2.post(
        f"{url}/v1/tasks", content=body, headers={"content-type": "application/json"}, timeout=60
    )
    assert "32 MiB" in problem(answer, 413, "too_large")


def test_a_declared_size_is_refused_before_the_body_is_sent(url: str) -> None:
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 0), timeout=20) as client:
        head = "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n"
        client.sendall(head.encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "too_large"


def test_a_body_of_undeclared_size_is_refused_when_it_grows_too_large(url: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**20

    headers = {"content-type": "application/json"}
    answer = httpx2.post(f"{url}/v1/tasks", content=pieces(), headers=headers, timeout=60)
    problem(answer, 413, "too_large")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7788", "127.0.0.1.evil.example"])
def test_a_name_rebound_to_loopback_is_turned_away(api: httpx2.Client, host: str) -> None:
    problem(api.post("/v1/tasks", json=CALL, headers={"Host": host}), 421, "wrong_host")
    problem(api.get("/v1/runs", headers={"Host": host}), 421, "wrong_host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[broken"])
def test_a_web_page_of_another_site_is_turned_away(api: httpx2.Client, origin: str) -> None:
    answer = api.post("/v1/runs/1/cancel", headers={"Origin": origin})
    problem(answer, 403, "foreign_origin")


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80"])
def test_this_machine_may_be_called_by_all_of_its_names(api: httpx2.Client, host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert api.get("/v1/runs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/tasks/1", "/v1/tasks/1/input", "/v1/runs/1", "/v1/runs/1/tree", "/v1/runs/1/events"],
)
def test_what_does_not_exist_is_not_found(api: httpx2.Client, path: str) -> None:
    problem(api.get(path), 404, "not_found")


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_actions_on_a_task_that_does_not_exist(api: httpx2.Client, action: str) -> None:
    problem(api.post(f"/v1/tasks/1/{action}"), 404, "not_found")


@pytest.mark.parametrize("action", ["cancel", "pause", "resume"])
def test_actions_on_a_run_that_does_not_exist(api: httpx2.Client, action: str) -> None:
    problem(api.post(f"/v1/runs/1/{action}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/tasks/0", "/v1/tasks/x", f"/v1/runs/{2**63}"])
def test_an_id_that_cannot_exist_is_refused(api: httpx2.Client, path: str) -> None:
    problem(api.get(path), 422, "invalid_input")


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "x"])
def test_a_wait_that_cannot_be_meant_is_refused(api: httpx2.Client, wait: str) -> None:
    problem(api.get("/v1/tasks/1", params={"wait": wait}), 422, "invalid_input")


def test_nul_in_an_address_is_refused(api: httpx2.Client) -> None:
    assert api.get("/v1/runs?name=a%00b").status_code == 422


def test_an_unknown_state_names_the_known_ones(api: httpx2.Client) -> None:
    answer = api.get("/v1/runs", params={"state": "dead"})
    assert "succeeded" in problem(answer, 400, "invalid_input")


def test_an_unknown_path_and_a_wrong_method_are_problems_too(api: httpx2.Client) -> None:
    problem(api.get("/v2/tasks"), 404, "not_found")
    problem(api.delete("/v1/tasks"), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"prompt": "x", "grammar": 'root ::= "a'}, "unexpected end of input"),
        ({"prompt": "x", "json_schema": {"type": "thing"}}, "type 'thing' at #"),
        ({"messages": [{"role": "user", "content": "x"}], "tools": [NOW]}, "knows no tools"),
    ],
)
def test_what_the_engine_cannot_hold_an_answer_to_is_refused_at_submission(
    api: httpx2.Client, hands: Hands, options: dict[str, Any], complaint: str
) -> None:
    if hands.value("SELECT count(*) FROM lmx.models WHERE name = 'real'") == 0:
        path = shipped_model()
        add_model(hands.conn, Model("real", str(path), "1" * 64, path.stat().st_size, 512))
    answer = api.post("/v1/tasks", json={"model": "real", "max_tokens": 8, **options})
    assert complaint in problem(answer, 400, "invalid_input")
    assert hands.value("SELECT count(*) FROM lmx.tasks") == 0
