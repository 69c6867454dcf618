"""Every way in which a call fails, as its task, its budget and its pool see it.

The workers run within the test; the failures are those of a real server on a socket, or of the way
to it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lmx.workflows.budgets import check_budgets
from lmx.workflows.client import Client
from lmx.workflows.errors import TaskFailed
from tests.support.clouds import CLOUDS, Cloud, running, worker_of
from tests.support.command import Lmx
from tests.support.eventually import eventually
from tests.support.rehearsed import KEY, Rehearsed

pytestmark = pytest.mark.leaves_open("the driver's threads end a little later than the worker")
ASKED = {"prompt": "Count.", "max_tokens": 50, "budget": {"usd": 100_000_000}}
HELD = "what was held"
#: What a person may look at after a failure of the task 1.
LOOKS = [("show", "1"), ("logs", "1"), ("limits",)]
WRONG = "sk-wrong-77aa31f0c4"
#: What the server's errors say, before they quote the key.
SAYS = "prompt is too long for"


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each provider in turn."""
    return CLOUDS[request.param]


@dataclass(frozen=True)
class Case:
    """A failure (its fault, or how the server is reached), and what comes of it."""

    state: str
    kind: str
    says: str
    charged: int | str = 0
    breaker: str = "closed"
    sent: str = SAYS
    fault: str | None = None
    how: dict[str, Any] = field(default_factory=dict)
    url: Callable[[str], str] = lambda url: url


CASES = {
    "a wrong key": Case(
        "failed",
        "credentials",
        "the provider refuses the key: ",
        breaker="open credentials",
        how={"key": WRONG},
    ),
    "an unknown model": Case(
        "failed", "unknown_model", "the provider knows no such model: ", fault="unknown_model"
    ),
    "a prompt that is too long": Case(
        "failed",
        "context_too_long",
        "the prompt does not fit the model's context: ",
        fault="too_long",
    ),
    "what the provider cannot read": Case(
        "failed",
        "invalid_request",
        "the provider refuses the request: ",
        fault="invalid",
        sent="there is no such field,",
    ),
    "an answer that cannot be read": Case(
        "failed", "malformed_answer", "the answer cannot be read: ", HELD, fault="malformed"
    ),
    "an answer that is lost": Case(
        "failed", "connection_lost", "the connection broke: ", HELD, fault="lost"
    ),
    "a provider that hangs": Case(
        "failed", "timed_out", "the call hangs: ", HELD, fault="hang", how={"silence_s": 0.3}
    ),
    "no TLS": Case(
        "ready",
        "unreachable",
        "the provider cannot be reached: ",
        breaker="open server",
        url=lambda url: url.replace("http:", "https:"),
    ),
    "no such host": Case(
        "ready",
        "unreachable",
        "the provider cannot be reached: ",
        breaker="open server",
        url=lambda _: "http://nowhere.invalid",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failure_has_its_own_outcome(
    client: Client,
    lmx: Lmx,
    rehearsed: Rehearsed,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    cloud: Cloud,
    name: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    case = CASES[name]
    worker = worker_of(cloud, client.database, tmp_path, case.url(rehearsed.url), **case.how)
    task = client.generate(model=cloud.model, **ASKED)
    held = value(client, "SELECT reserve FROM lmx.budgets WHERE task_id = %s", task)
    value(client, "UPDATE lmx.tasks SET max_attempts = 1 WHERE id = %s RETURNING id", task)
    if case.fault:
        rehearsed.fail({"kind": case.fault, "count": None, "says": f"{case.sent} {{key}}"})
    with running(worker):
        state, kind, says = eventually(lambda: outcome(client, task, case), name)
        breaker = eventually(lambda: breaker_of(lmx, cloud, case.breaker), case.breaker)
    assert (state, kind) == (case.state, case.kind)
    assert says.startswith(case.says)
    assert ("[key]" in says) == (case.charged == 0 and case.state == "failed")
    assert "\n" not in says
    shown = [*rows_of(client), *(lmx(*words).out for words in LOOKS), caplog.text]
    assert not [text for text in shown if KEY in text or WRONG in text]
    assert breaker == case.breaker
    spent = value(client, "SELECT coalesce(sum(amount), 0)::bigint FROM lmx.charges")
    assert spent == (held if case.charged == HELD else case.charged)
    assert value(client, "SELECT count(*) FROM lmx.holds") == 0
    assert check_budgets(client.database) == []


def test_what_the_model_declines_is_an_answer_and_paid(
    client: Client, lmx: Lmx, rehearsed: Rehearsed, tmp_path: Path, cloud: Cloud
) -> None:
    rehearsed.fail({"kind": "refused"})
    with running(worker_of(cloud, client.database, tmp_path, rehearsed.url)):
        task = client.generate(model=cloud.model, **ASKED)
        assert client.result(task, timeout=20)["finish_reason"] == "refusal"
    assert "declined to answer" in lmx("show", task).out
    assert "declined to answer" in lmx("wait", task).err
    assert value(client, "SELECT spent FROM lmx.budgets WHERE task_id = %s", task) > 0
    assert breaker_of(lmx, cloud, "closed") == "closed"


def test_a_key_revoked_in_the_middle_fails_one_call_and_lets_the_others_wait(
    client: Client, lmx: Lmx, rehearsed: Rehearsed, tmp_path: Path, cloud: Cloud
) -> None:
    with running(worker_of(cloud, client.database, tmp_path, rehearsed.url)):
        assert client.result(client.generate(model=cloud.model, **ASKED), timeout=20)
        rehearsed.fail({"kind": "unauthorized", "count": None})
        with pytest.raises(TaskFailed):
            client.result(client.generate(model=cloud.model, **ASKED), timeout=20)
        waits = client.generate(model=cloud.model, **ASKED)
        eventually(lambda: breaker_of(lmx, cloud, "open credentials"), "an open breaker")
        assert value(client, "SELECT state::text FROM lmx.tasks WHERE id = %s", waits) == "ready"
        rehearsed.fail()
        lmx("breakers", "--reset", cloud.pool)
        assert client.result(waits, timeout=20)["model"] == cloud.model
    assert check_budgets(client.database) == []


def rows_of(client: Client) -> list[str]:
    """All rows of all tables, as text."""
    with client.database.connect() as conn:
        tables = conn.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'lmx'"
        ).fetchall()
        rows = [conn.execute(f"SELECT t::text FROM lmx.{name} t").fetchall() for (name,) in tables]
    return [text for table in rows for (text,) in table]


def value(client: Client, query: str, *args: Any) -> Any:
    with client.database.connect() as conn:
        row = conn.execute(query, args).fetchone()
    assert row is not None
    return row[0]


def outcome(client: Client, task: int, case: Case) -> tuple[str, str, str] | None:
    """State, kind of failure and its text, once there is one: of the task, or of its last event."""
    with client.database.connect() as conn:
        row = conn.execute(
            "SELECT t.state::text, coalesce(t.error ->> 'kind', e.kind),"
            " coalesce(t.error ->> 'message', e.data ->> 'message') FROM lmx.tasks t"
            " LEFT JOIN LATERAL (SELECT kind, data FROM lmx.events WHERE task_id = t.id"
            " ORDER BY id DESC LIMIT 1) e ON true WHERE t.id = %s",
            [task],
        ).fetchone()
    return row if row and row[0] == case.state and row[1] else None


def breaker_of(lmx: Lmx, cloud: Cloud, expected: str) -> str | None:
    """The line of `lmx breakers` about the provider's pool, once it is the expected one."""
    rows = [line.split("\t") for line in lmx("breakers").out.splitlines()]
    (row,) = [row for row in rows if row[0] == cloud.pool]
    found = row[1] if row[1] == "closed" else f"{row[1]} {row[2]}"
    return found if found == expected else None
