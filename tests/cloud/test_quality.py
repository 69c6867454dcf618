"""Verdicts on answers: by their schema, by whoever asked; once each, and heard by the pool."""

import json
from typing import Any

import pytest

from lmx.workers.cloud.answer import Answer, FinishReason
from lmx.workers.cloud.forms import fault_of
from lmx.workers.cloud.outcome import answered
from lmx.workflows.control import judge
from lmx.workflows.errors import Conflict, NotFound, Refused
from lmx.workflows.pools import PoolView, close_breaker, list_pools
from lmx.workflows.providers.pricing import Tokens
from tests.support.pools import Pools, hourly

SCHEMA = '{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}'


def answers(pools: Pools, pool: int, count: int) -> list[int]:
    """Calls of a model that have been answered."""
    tasks = pools.call(pool, count)
    pools.conn.execute("UPDATE lmx.tasks SET name = 'generate' WHERE id = ANY(%s)", [tasks])
    for lease in pools.claim():
        pools.finish(lease)
    return tasks


def view(pools: Pools) -> PoolView:
    (found,) = list_pools(pools.conn)
    return found


def test_three_rejected_answers_in_a_row_open_the_breaker_but_hold_no_call_back(
    pools: Pools,
) -> None:
    pool = pools.pool("haiku", hourly(100))
    for task in answers(pools, pool, 3):
        assert judge(pools.hands.database, task, accepted=False, reason="invented")
    assert (view(pools).quality, view(pools).breaker) == ("open", "closed")
    assert view(pools).quality_in_s == pytest.approx(300, abs=5)
    pools.call(pool, 1)
    assert len(pools.claim()) == 1
    assert view(pools).quality == "open"
    close_breaker(pools.conn, "faithful/default/haiku")
    assert view(pools).quality == "closed"


def test_a_verdict_counts_once_and_stands(pools: Pools) -> None:
    (task,) = answers(pools, pools.pool("haiku", hourly(100)), 1)
    database = pools.hands.database
    said = [judge(database, task, accepted=False, reason="no") for _ in range(4)]
    assert said == [True, False, False, False]
    assert view(pools).quality == "closed"
    with pytest.raises(Conflict, match="was rejected before"):
        judge(database, task, accepted=True)
    events = "SELECT kind, data FROM lmx.events WHERE task_id = %s"
    row = pools.conn.execute(events, [task]).fetchall()
    assert row == [("rejected", {"by": "caller", "reason": "no"})]


def test_only_answers_can_be_judged(pools: Pools) -> None:
    (task,) = pools.call(pools.pool("haiku", hourly(100)))
    with pytest.raises(Refused, match="is no call of a model that has answered"):
        judge(pools.hands.database, task, accepted=True)
    with pytest.raises(NotFound):
        judge(pools.hands.database, 999_999, accepted=True)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"age": 7}', None),
        ('{"age": "seven"}', "'seven' is not of type 'integer' (at $.age)"),
        ("{}", "'age' is a required property"),
        ("Sure! Here it is:", "the answer is not JSON"),
        ("[" * 100_000, "the answer is not JSON"),
    ],
)
def test_an_answer_is_held_against_its_schema(text: str, fault: str | None) -> None:
    found = fault_of(SCHEMA, text)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize("schema", ['{"$ref": "http://127.0.0.1:9/x"}', '{"type": 5}'])
def test_a_schema_that_cannot_be_used_judges_nothing(schema: str) -> None:
    assert fault_of(schema, "{}") is None


def news(pools: Pools, text: str, finish_reason: FinishReason = "stop") -> list[Any]:
    """What an answer to a call with a schema tells its pool of its quality."""
    pools.call(pools.pool("haiku", hourly(100)))
    (lease,) = pools.claim()
    lease.raw_input = json.dumps({"json_schema": SCHEMA})
    told = Answer(text, finish_reason, Tokens(1, 1), "m")
    (done,) = answered(lease, told, 5, 0.1)
    assert done.fields["state"] == "succeeded"
    return [one["data"]["accepted"] for one in done.news or () if one["kind"] == "judged"]


def test_a_whole_answer_is_judged_and_a_part_is_not(pools: Pools) -> None:
    assert news(pools, '{"age": 7}') == [True]
    assert news(pools, "no JSON") == [False]
    assert news(pools, "no JSON", "length") == []
    assert news(pools, "no JSON", "refusal") == []
