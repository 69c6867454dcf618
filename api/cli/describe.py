"""One task in words: its state, what it waits for, its tokens, its cost, its time."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lmx.api.cli.output import clock, duration

if TYPE_CHECKING:
    from lmx.workflows.views import Batched, EventView, Shortage, TaskView

#: What a model call does in a phase of the engine's, or of a provider's worker.
_PHASES: Final = {
    "queued": "waiting for memory",
    "loading": "loading the model",
    "prefill": "reading the prompt",
    "decode": "writing",
    "asked": "asking the provider",
    "answering": "writing",
}


def activity(task: "TaskView", children: Sequence["TaskView"] = ()) -> str:
    """What a task does, or what it waits for."""
    if task.state == "parked":
        return _waiting(task, children)
    if task.state == "scheduled":
        return _scheduled(task)
    if task.state == "ready":
        return "queued" if not task.attempts else f"queued for attempt {task.attempts + 1}"
    if task.state == "leased":
        return _working(task)
    reason = error_text(task.error)
    return f"{task.state}: {reason}" if reason and task.state == "failed" else task.state


def _waiting(task: "TaskView", children: Sequence["TaskView"]) -> str:
    until = f" until {clock(task.run_at)} at the latest" if task.run_at else ""
    if task.waiting_for:
        return f"waiting for the signal {task.waiting_for!r}{until}"
    if task.waiting:
        done = sum(child.finished for child in children)
        count = f" {done}/{len(children)}" if children else f" ({task.waiting} to go)"
        return f"waiting for children{count}{until}"
    return f"sleeping until {clock(task.run_at)}" if task.run_at else "parked"


def _scheduled(task: "TaskView") -> str:
    if task.shelved:
        return "paused with its run"
    if task.attempts:
        return f"attempt {task.attempts + 1} at {clock(task.run_at)}, after {_brief(task.error)}"
    return f"starts at {clock(task.run_at)}"


def _working(task: "TaskView") -> str:
    progress = task.progress if isinstance(task.progress, Mapping) else {}
    phase, tokens = progress.get("phase"), progress.get("tokens")
    if phase in ("decode", "answering") and tokens:
        return f"writing, {tokens} tokens so far"
    return _PHASES.get(str(phase), "running")


def shortage_text(shortage: "Shortage") -> str:
    """What a call that waits for memory is short of."""
    from lmx.workflows.units import format_bytes

    needs, free, cap = map(format_bytes, (shortage.needs, shortage.free, shortage.cap))
    return f"waiting for memory: needs {needs}, {free} of {cap} are free"


def batch_text(batch: "Batched") -> str:
    """Since when a call waits in a batch, or for one, and until when at the latest."""
    if batch.id is None:
        until = f", until {clock(batch.until)}" if batch.until else ""
        return f"waiting for others to go in a batch with it{until}"
    until = f", until {clock(batch.until)} at the latest" if batch.until else ""
    return f"in batch {batch.id} since {clock(batch.since)}{until}"


def error_text(error: Any) -> str:
    """Why a task failed, on one line; empty when nothing is recorded."""
    if isinstance(error, Mapping):
        message = error.get("message") or error.get("kind") or ""
        return " ".join(str(message).split())
    return " ".join(str(error).split()) if error else ""


def _brief(error: Any) -> str:
    return _short(error_text(error) or "a failure")


def tokens_of(task: "TaskView") -> str | None:
    """Tokens read and written: "52+120 tokens", or "52+120 tokens (48 reused)"."""
    if not isinstance(task.usage, Mapping) or "completion_tokens" not in task.usage:
        return None
    tokens = f"{task.usage.get('prompt_tokens', 0)}+{task.usage['completion_tokens']} tokens"
    reused = task.usage.get("cached_tokens")
    return f"{tokens} ({reused} reused)" if reused else tokens


def declined(task: "TaskView") -> bool:
    """Whether a provider's model has refused to answer, which is an answer, and paid."""
    usage = task.usage if isinstance(task.usage, Mapping) else {}
    return usage.get("finish_reason") == "refusal"


def cost_of(task: "TaskView") -> int | None:
    """Nano-dollars spent by the task itself: from its budget, or else from its usage."""
    for budget in task.budgets:
        if budget.unit == "usd":
            return budget.spent
    cost = task.usage.get("cost") if isinstance(task.usage, Mapping) else None
    return cost if isinstance(cost, int) else None


def memory_wait_of(task: "TaskView") -> float | None:
    """Seconds that a model call waited for device memory, once it has finished."""
    waited = task.usage.get("memory_wait_s") if isinstance(task.usage, Mapping) else None
    return float(waited) if isinstance(waited, int | float) else None


def took(task: "TaskView", now: datetime | None = None) -> str | None:
    """How long a task has run, or ran: a worker's latest attempt, a coordinator with its waits."""
    start = task.created_at if task.role == "coordinator" else task.started_at
    if start is None:
        return None
    end = task.finished_at or now or datetime.now(UTC)
    return duration((end - start).total_seconds())


def event_text(event: "EventView") -> str:
    """One event in words: its kind, and what is known of it."""
    data = dict(event.data or {})
    if event.kind == "finished":
        reason = error_text(data.get("error"))
        return f"{data.get('state')}: {reason}" if reason else str(data.get("state"))
    if event.kind == "checkpoint":
        return f"recorded the step {data.get('name')!r}"
    if event.kind == "waiting_for_memory" and {"needs", "cap", "free"} <= data.keys():
        from lmx.workflows.views import Shortage

        return shortage_text(Shortage(data["needs"], data["cap"], data["free"]))
    if event.kind == "started":
        delivery = data.get("delivery") or 1
        return f"started, delivery {delivery}" if delivery > 1 else "started"
    if set(data) == {"message"}:
        return f"{event.kind.replace('_', ' ')}: {_short(data['message'])}"
    if "error" in data:
        data["error"] = error_text(data["error"])
    details = ", ".join(f"{name} {_short(value)}" for name, value in data.items())
    return f"{event.kind}: {details}" if details else event.kind


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."
