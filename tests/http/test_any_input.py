"""Whatever JSON a client sends, the answer is an acceptance or a problem, never a failure."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.hands import Hands
from tests.support.postgres import PostgresServer
from tests.support.serving import known_functions, serving

pytestmark = pytest.mark.leaves_open("one server serves all tests of this module")

TEXT = st.text(st.characters(codec=None), max_size=70)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def bodies(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies in which each known field has a likely value, any JSON, or is missing."""
    return st.fixed_dictionaries({}, optional={name: one | JSON for name, one in known.items()})


BUDGETS = st.dictionaries(
    st.sampled_from(["usd", "pages"]) | TEXT, st.sampled_from(["0.05", "1e-9", 3]) | JSON
)
TASKS = bodies(
    function=st.just("call"),
    args=st.lists(JSON, max_size=2),
    kwargs=st.dictionaries(TEXT, JSON, max_size=2),
    queue=TEXT,
    priority=st.integers(-1000, 1000),
    delay=st.floats(0, 1e9),
    max_attempts=st.integers(1, 1000),
    time_limit=st.floats(0.001, 2e6),
    timeout=st.floats(0.001, 1e9),
    budget=BUDGETS,
)
CALLS = bodies(
    model=st.just("tiny"),
    prompt=TEXT,
    messages=st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXT})),
    max_tokens=st.integers(1, 2**24),
    logit_bias=st.dictionaries(TEXT, st.floats()),
    stop=st.lists(TEXT),
    budget=BUDGETS,
)
RUNS = bodies(
    workflow=st.just("review"),
    args=st.lists(JSON, max_size=2),
    weight=st.floats(0.001, 1e6),
    nesting=st.integers(0, 100),
    budget=BUDGETS,
)
REQUESTS = st.one_of(
    st.tuples(st.just("/v1/tasks"), TASKS | CALLS | JSON),
    st.tuples(st.just("/v1/runs"), RUNS | JSON),
    st.tuples(st.just("/v1/runs/1/signals/go"), bodies(payload=JSON) | JSON),
)


@pytest.fixture(scope="module")
def hands(shared_postgres: PostgresServer) -> Iterator[Hands]:
    """One database for all examples, with a run to send signals to."""
    with shared_postgres.fresh_database() as database, known_functions(database) as hands:
        hands.submit()
        yield hands


@pytest.fixture(scope="module")
def client(hands: Hands) -> Iterator[httpx2.Client]:
    with serving(hands.database) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(request=REQUESTS)
@example(request=("/v1/tasks", {"function": "call", "queue": "q" * 60}))
@example(request=("/v1/tasks", {"function": "call", "args": [2**64]}))
@example(request=("/v1/tasks", {"function": "call", "kwargs": {"\ud800": 1}}))
@example(request=("/v1/tasks", {"function": "call", "budget": {"\x00": 1}}))
@example(request=("/v1/tasks", {"function": "call", "budget": {"usd": "9" * 5000}}))
@example(request=("/v1/tasks", {"function": "call", "budget": {"usd": "1e999999999"}}))
def test_any_json_is_accepted_or_refused(client: httpx2.Client, request: tuple[str, Any]) -> None:
    path, body = request
    # As any client may: with NaN, and with escapes for what is no character.
    content, headers = json.dumps(body), {"content-type": "application/json"}
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code in (201, 202) or (
        400 <= answer.status_code < 500
        and answer.headers["content-type"] == "application/problem+json"
    ), answer.text
