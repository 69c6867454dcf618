"""What follows a submission: the id, or the wait for the answer."""

import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from lmx.api.cli.output import console, note, write, write_json

if TYPE_CHECKING:
    from lmx.api.cli.session import Session
    from lmx.workflows.errors import LmxError
    from lmx.workflows.views import CallView, TaskView

_GLANCE_S = 1.0
#: After so many seconds a program that waits is told what keeps its call from starting.
_PATIENCE_S = 5.0


def answer(
    opened: "Session", task_id: int, *, wait: bool, timeout: float | None, as_json: bool
) -> None:
    """Answer for a task just queued: with its id, or, with `wait`, with what comes of it."""
    if wait:
        finish(opened, task_id, timeout, as_json)
    else:
        queued(opened, task_id, as_json)


def queued(opened: "Session", task_id: int, as_json: bool) -> None:
    """Print the id of a task just queued; tell when nobody is there to do it."""
    from lmx.workflows.views import get_task

    view = get_task(opened.database, task_id)
    if as_json:
        write_json({"id": task_id, "name": view.name, "queue": view.queue, "state": view.state})
    else:
        write(str(task_id))
    if not view.finished:
        _tell_if_unattended(opened, view.queue)


def finish(opened: "Session", task_id: int, timeout: float | None, as_json: bool) -> None:
    """Wait for a task and print its answer. Raises TaskFailed, TimedOut, KeyboardInterrupt."""
    view = watch(opened, task_id, timeout)
    if as_json:
        write_json(view)
    elif view.state == "succeeded":
        write(answer_of(view))
        if short := shortcoming_of(view):
            note(short)
    if view.state != "succeeded":
        raise failure_of_task(view)


def watch(opened: "Session", task_id: int, timeout: float | None) -> "TaskView":
    """Wait until a task has finished, telling a person on standard error what it waits for."""
    from lmx.workflows.errors import TimedOut
    from lmx.workflows.views import get_task

    view = get_task(opened.database, task_id)
    if view.finished:
        return view
    _tell_if_unattended(opened, view.queue)
    if not sys.stderr.isatty():
        return _wait(opened, task_id, timeout)
    end = None if timeout is None else time.monotonic() + timeout
    with console(stderr=True).status(_progress(opened, view)) as status:
        while True:
            left = _GLANCE_S if end is None else min(_GLANCE_S, max(0.0, end - time.monotonic()))
            try:
                return opened.client.wait(task_id, left)
            except TimedOut:
                if end is not None and time.monotonic() >= end:
                    raise _still_running(task_id, timeout) from None
                status.update(_progress(opened, get_task(opened.database, task_id)))


def _wait(opened: "Session", task_id: int, timeout: float | None) -> "TaskView":
    """Wait silently, but for one line about a call that something keeps from starting."""
    from lmx.workflows.errors import TimedOut
    from lmx.workflows.views import get_task

    first = _PATIENCE_S if timeout is None else min(_PATIENCE_S, timeout)
    try:
        return opened.client.wait(task_id, first)
    except TimedOut:
        view = get_task(opened.database, task_id)
        call = _call_of(opened, view)
        if call is not None and call.waits_for:
            note(f"{task_id} waits: {call.waits_for}")
    try:
        return opened.client.wait(task_id, None if timeout is None else timeout - first)
    except TimedOut:
        raise _still_running(task_id, timeout) from None


def _still_running(task_id: int, timeout: float | None) -> "LmxError":
    from lmx.workflows.errors import TimedOut

    return TimedOut(
        f"{task_id} is not done after {timeout:g} s; it goes on",
        hint=f"wait on: lmx wait {task_id}",
    )


def _progress(opened: "Session", view: "TaskView") -> str:
    from rich.markup import escape

    from lmx.api.cli.tree import doing

    return f"{view.id} {escape(view.name)}: {escape(doing(view, (), _call_of(opened, view)))}"


def _call_of(opened: "Session", view: "TaskView") -> "CallView | None":
    """What is known of a model call; of a whole run it would be too much to ask each second."""
    from lmx.workflows.names import GENERATE
    from lmx.workflows.views import model_calls

    if view.name != GENERATE:
        return None
    return model_calls(opened.database, view.id).get(view.id)


def answer_of(view: "TaskView") -> str:
    """The result as a person or a pipe wants it: a model's text, a text, or else JSON."""
    import orjson

    output: Any = view.output
    if isinstance(output, dict) and "finish_reason" in output:
        if calls := output.get("tool_calls"):
            return orjson.dumps(calls).decode()
        text = output.get("text")
        if isinstance(text, str):
            return text
    return output if isinstance(output, str) else orjson.dumps(output).decode()


def shortcoming_of(view: "TaskView") -> str | None:
    """What a person should know of a model's answer that is not whole."""
    output = view.output if isinstance(view.output, dict) else {}
    match output.get("finish_reason"):
        case "refusal":
            word = (view.usage or {}).get("stop_reason")
            return "the model declined to answer" + (f" ({word})" if word else "")
        case "length":
            return "the answer is cut short: it has all the tokens that it may; see --max-tokens"
    return None


def failure_of_task(view: "TaskView") -> "LmxError":
    """The error that says how a task ended; its exit code is 1, or 3 when it was refused."""
    from lmx.api.cli.describe import error_text
    from lmx.workflows.errors import Refused, TaskFailed

    text = f"{view.id} ({view.name}) {view.state}"
    if reason := error_text(view.error):
        text = f"{text}: {reason}"
    kind = (view.error or {}).get("kind")
    if kind in ("refused", "budget"):
        return Refused(text)
    hint = f"lmx show {view.run_id} tells more" if view.state == "failed" else None
    if view.partial:
        hint = f"what had come of its answer: lmx show {view.id}"
    return TaskFailed(text, hint=hint)


def _tell_if_unattended(opened: "Session", queue: str) -> None:
    from lmx.api.supervisor.state import running_pid
    from lmx.workflows.views import list_workers

    workers = list_workers(opened.database)
    if any(worker.alive and queue in worker.queues for worker in workers):
        return
    if running_pid(opened.settings.home) is not None:
        note(f"queued; no worker for the queue {queue!r} is ready yet, see lmx status")
    else:
        note("queued; no worker is running: start one with `lmx up`")


def exit_code_of(view: "TaskView") -> None:
    """End the command with the code that a finished task's state stands for."""
    if view.state != "succeeded":
        raise typer.Exit(failure_of_task(view).exit_code)
