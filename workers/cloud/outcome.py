"""The operations that record a cloud call's end: result, cost, and news for its pool. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from lmx.workers import outcome
from lmx.workers.cloud.answer import Answer
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workflows.lease import Lease
from lmx.workflows.operations import ALL_OTHERS, Operation, encode
from lmx.workflows.retries import delay_before

_FIRST_DELAY_S: Final = 1.0
_LONGEST_DELAY_S: Final = 60.0


def answered(lease: Lease, answer: Answer, cost: int, heard_after_s: float) -> list[Operation]:
    """The call succeeded, cost `cost` nano-dollars, and began to be answered after so long."""
    tokens = answer.tokens
    usage = {
        "model": answer.model,
        "prompt_tokens": tokens.prompt,
        "cached_tokens": tokens.cache_read,
        "cache_write_tokens": tokens.cache_write + tokens.cache_write_1h,
        "completion_tokens": tokens.output,
        "reasoning_tokens": answer.reasoning_tokens,
        "cost": cost,
        "request_id": answer.request_id,
        "finish_reason": answer.finish_reason,
        "stop_reason": answer.stop_reason,
    }
    done = outcome.finish(
        lease,
        "succeeded",
        output=answer.output(),
        usage={key: value for key, value in usage.items() if value is not None},
    )
    if lease.budgeted:
        done.costs = outcome.costs_of(lease, usage)
    done.closes = lease.budgeted
    done.news = [
        {"kind": "succeeded", "data": {}},
        _used(metered(answer, cost), heard_after_s),
    ]
    if answer.told:
        done.news.append({"kind": "told", "data": {"limits": answer.told}})
    _judge(done, lease, answer)
    encode(done.fields["output"])  # what cannot be stored fails here, where it can be told
    return [done]


def _judge(done: Operation, lease: Lease, answer: Answer) -> None:
    """Tell the pool whether a whole answer has the form that was asked for."""
    schema = (lease.input or {}).get("json_schema")
    if schema is None or answer.finish_reason != "stop":
        return
    from lmx.workers.cloud.forms import fault_of  # few calls need it, and it loads slowly

    fault = fault_of(schema, answer.text)
    verdict = {"accepted": fault is None} | ({"reason": fault} if fault else {})
    done.news = [*(done.news or ()), {"kind": "judged", "data": verdict}]
    if fault:
        done.event = {"kind": "rejected", "data": {"by": "schema", "reason": fault}}


def metered(answer: Answer, cost: int) -> dict[str, int]:
    """What the call counts in each dimension of its pool: reading a cache is free of limits."""
    tokens = answer.tokens
    return {
        "requests": 1,
        "input_tokens": tokens.input + tokens.cache_write + tokens.cache_write_1h,
        "output_tokens": tokens.output,
        "usd": cost,
    }


def _used(real: Mapping[str, int], heard_after_s: float) -> dict[str, Any]:
    return {"kind": "used", "data": {"real": real, "heard_after_s": heard_after_s}}


def failed(lease: Lease, error: ProviderError, heard_after_s: float) -> list[Operation]:
    """The call failed, after so long, for a reason that the provider, or the way to it, gave."""
    meaning = error.meaning
    told = {"kind": error.failure.value, "type": "ProviderError", "message": str(error)}
    if meaning.again:
        end = Operation("requeue", lease.task_id, lease.seq, {"lost": False})
        end.event = {"kind": error.failure.value, "data": {"message": str(error)}}
    elif meaning.final or lease.attempts + 1 >= lease.max_attempts:
        end = outcome.finish_failed(lease, told)
        end.closes = lease.budgeted
    else:
        delay = delay_before(lease.attempts + 1, _FIRST_DELAY_S, _LONGEST_DELAY_S)
        end = Operation("retry", lease.task_id, lease.seq, {"delay": delay, "error": told})
        end.event = {"kind": "retry", "data": {"attempt": lease.attempts + 1, **told}}
    if lease.budgeted and not meaning.again:
        end.costs = {ALL_OTHERS: None if meaning.billed else 0}
    end.news = _news(error, heard_after_s)
    return [*outcome.left(lease), end]


def elsewhere(lease: Lease, error: ProviderError, heard_after_s: float) -> Operation:
    """The call goes back, to be made with another account or model in the same transaction."""
    back = Operation(
        "retry", lease.task_id, lease.seq, {"delay": 0.0, "tried": 0}, parent_id=lease.parent_id
    )
    back.costs = {ALL_OTHERS: 0} if lease.budgeted else None
    back.news = _news(error, heard_after_s)
    return back


def postponed(lease: Lease) -> list[Operation]:
    """The call could not be sent for a reason of our own: it goes back, not counted."""
    return [outcome.requeue(lease)]


def _news(error: ProviderError, heard_after_s: float) -> list[dict[str, Any]]:
    news = [{"kind": kind, "data": data} for kind, data in news_of(error)]
    if not error.meaning.billed:
        news.append(_used({"requests": 1}, heard_after_s))
    return news


def news_of(error: ProviderError) -> list[tuple[str, dict[str, Any]]]:
    """What a failure tells of its pool: kinds of news with their data."""
    news: list[tuple[str, dict[str, Any]]] = []
    if error.told:
        news.append(("told", {"limits": error.told}))
    if error.failure is Failure.RATE_LIMITED:
        about = {
            "retry_after": error.retry_after,
            "limit": error.limit,
            "granted": error.granted,
        }
        news.append(("refused", {key: value for key, value in about.items() if value is not None}))
    elif error.meaning.breaker:
        data: dict[str, Any] = {"kind": error.meaning.breaker}
        if error.month:
            data["month"] = True
        elif error.retry_after is not None:
            data["for_s"] = error.retry_after
        news.append(("failed", data))
    else:
        news.append(("succeeded", {}))  # the provider answered: it is well
    return news
