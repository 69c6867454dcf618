"""Workflows that the crash tests run, and the independent record of what their bodies did.

Every body appends a line with a token of its own to the file NOTES, whatever becomes of it; its
result is that token. So what was executed can be compared with what was recorded.
"""

import json
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from lmx.workflows.coordinators import ChildFailed, Context
from lmx.workflows.current import current_task
from lmx.workflows.registry import coordinator, worker

NOTES = "LMX_TEST_NOTES"
USD = 1_000_000_000
MODEL = "pretend"


def note(what: str, **more: Any) -> str:
    """Append one line to the record and return its token.

    It begins a line of its own, whatever a killed process has left half written before it.
    """
    token = uuid.uuid4().hex[:12]
    line = f"\n{json.dumps({'what': what, 'token': token, 'pid': os.getpid(), **more})}\n"
    record = os.open(os.environ[NOTES], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    try:
        os.write(record, line.encode())
    finally:
        os.close(record)
    return token


def wait_for_gate(name: str) -> None:
    """Wait until the test opens the gate `name`."""
    gate = Path(os.environ[NOTES]).parent / f"gate-{name}"
    while not gate.exists():
        time.sleep(0.005)


@worker(max_attempts=6, backoff=0.01, max_backoff=0.02)
def leaf(number: int, failures: int = 0) -> str:
    """Return a token, after some failed attempts."""
    task = current_task()
    token = note("leaf", task=task.task_id, attempt=task.attempt)
    if task.attempt <= failures:
        raise RuntimeError(f"attempt {task.attempt} of leaf {number} was to fail")
    return token


@worker
def gated(gate: str) -> str:
    """Return a token once the test lets it."""
    token = note("gated", task=current_task().task_id, gate=gate)
    wait_for_gate(gate)
    return token


@worker
def poison() -> None:
    """Kill the process."""
    note("poison", task=current_task().task_id)
    os.kill(os.getpid(), signal.SIGKILL)


@coordinator
def branch(ctx: Context, leaves: int) -> dict[str, Any]:
    """The lower level: leaves and one model call, a step, memory and a sleep."""
    opened = ctx.step("open", note, "open", task=ctx.task_id)
    jobs = [ctx.spawn(leaf, n, n % 2, key=f"leaf{n}", budget={"work": 5}) for n in range(leaves)]
    call = ctx.generate(model=MODEL, prompt="Say something", max_tokens=8, key="call")
    ctx.memory.set(f"open {ctx.task_id}", opened)
    ctx.sleep(0.01)
    tokens = ctx.gather(*jobs)
    answer = ctx.gather(call)[0]["text"]
    closed = ctx.step("close", note, "close", task=ctx.task_id)
    return {"opened": opened, "leaves": tokens, "answer": answer, "closed": closed}


@coordinator
def tree(ctx: Context, branches: int, leaves: int) -> dict[str, Any]:
    """The upper level: branches under budgets of their own."""
    planned = ctx.step("plan", note, "plan", task=ctx.task_id)
    ctx.memory.set("planned", planned)
    children = [
        ctx.spawn(branch, leaves, key=f"branch{n}", budget={"work": 5 * leaves, "usd": USD})
        for n in range(branches)
    ]
    results = ctx.gather(*children)
    reported = ctx.step("report", note, "report", task=ctx.task_id)
    return {
        "planned": planned,
        "remembered": ctx.memory.get("planned"),
        "branches": results,
        "reported": reported,
    }


@coordinator
def slow_branches(ctx: Context, gate: str) -> str:
    """Do something durable on either side of a step that the test holds up."""
    ctx.step("before", note, "before", task=ctx.task_id)
    ctx.step("held", _held, ctx.task_id, gate)
    child = ctx.spawn(leaf, 0, key="after")
    return str(ctx.gather(child)[0])


def _held(task_id: int, gate: str) -> str:
    token = note("held", task=task_id, gate=gate)
    wait_for_gate(gate)
    return token


@coordinator
def with_poison(ctx: Context, neighbours: int) -> dict[str, Any]:
    """Spawn a poisonous child among others and tell what became of each."""
    bad = ctx.spawn(poison, key="poison")
    good = [ctx.spawn(leaf, n, key=f"leaf{n}") for n in range(neighbours)]
    [failure, *tokens] = ctx.gather(bad, *good, return_exceptions=True)
    assert isinstance(failure, ChildFailed)
    return {"error": failure.error, "leaves": tokens}


@coordinator
def nap(ctx: Context, seconds: float) -> dict[str, float]:
    """Sleep, and tell the time before and after."""
    before = ctx.now()
    ctx.sleep(seconds)
    return {"before": before, "after": ctx.now()}
