"""Calls of models, local or in the cloud, as tasks: what they say and what they may cost."""

import json
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from lmx.workflows import models
from lmx.workflows.allowances.purse import amounts_of
from lmx.workflows.allowances.words import amount_text
from lmx.workflows.attachments.parts import File, sources_of
from lmx.workflows.attachments.rules import attached_tokens, check_marks
from lmx.workflows.attachments.store import complete
from lmx.workflows.cheap import check_when, refuse_hurried
from lmx.workflows.conversations import (
    as_plain_texts,
    cache_marks,
    check_message,
    check_tools,
    text_bytes,
)
from lmx.workflows.errors import BudgetExceeded, InvalidInput, NotFound
from lmx.workflows.money import USD, price
from lmx.workflows.names import GPU
from lmx.workflows.providers.planning import (
    Placement,
    beside_the_text,
    check_options,
    check_thinking_budget,
    plan_cloud_call,
)
from lmx.workflows.providers.publishing import PublishedModel, find_cloud_model
from lmx.workflows.sessions import session_name
from lmx.workflows.submission import Budgets, in_full

#: Tokens that a chat template adds around the messages, at the most.
TEMPLATE_TOKENS: Final = 256

_NUMBERS: Final[dict[str, tuple[float, float]]] = {
    "temperature": (0, 10),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "top_k": (0, 1_000_000),
    "repeat_penalty": (0, 10),
    "penalty_last_n": (-1, 1_000_000),
    "presence_penalty": (-10, 10),
    "frequency_penalty": (-10, 10),
    "top_n_sigma": (0, 1000),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "dry_multiplier": (0, 100),
    "dry_base": (1, 100),
    "dry_allowed_length": (0, 1_000_000),
    "dry_penalty_last_n": (-1, 1_000_000),
    "logprobs": (0, 20),
    "seed": (0, 2**32 - 1),
    "n_ctx": (8, 2**24),
}
_OTHERS: Final = (
    *("stop", "logit_bias", "dry_breakers", "grammar", "json_schema", "session"),
    *("tools", "tool_choice", "parallel_tool_calls", "thinking", "template_options"),
    "reasoning_effort",
)
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Tokens of thinking; less is no budget for any provider.
_LEAST_THINKING: Final = 128
#: The options of a call beside its model, its text and max_tokens.
OPTIONS: Final = frozenset((*_NUMBERS, *_OTHERS))
#: Bytes of a grammar or a schema.
MAX_FORM: Final = 65_536


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt of a task holds of its budget, by unit; what it costs when it is lost.

    A lost attempt is charged what it held ("charge"), or has bought nothing ("release").
    `placement` is the pool of a cloud call, `files` what its messages refer to. `time_limit` is in
    seconds, for a task without its own. `decision` says why a route has chosen the call's model (a
    row of record_decisions.sql), `asked` what was asked of the route. `last`: it goes after all
    others.
    """

    reserve: Budgets | None = None
    lost: str = "charge"
    placement: Placement | None = None
    files: Sequence[File] = field(default=(), repr=False)
    time_limit: float | None = None
    decision: Mapping[str, Any] | None = None
    asked: Mapping[str, Any] | None = None
    last: bool = False


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A checked call: its task input, the most it can cost in nano-dollars and in tokens, its cloud
    pool.

    `files` are kept (`attachments.store`) in the transaction that queues it. `decision` and `asked`
    are as in `Terms`. `cheap`: it may wait, if that makes it cheaper.
    """

    input: dict[str, Any]
    worst_case: int
    placement: Placement | None = None
    files: Sequence[File] = field(default=(), repr=False)
    tokens: int = 0
    decision: Mapping[str, Any] | None = None
    asked: Mapping[str, Any] | None = None
    cheap: bool = False

    @property
    def most(self) -> dict[str, int]:
        """The most that the call can cost of each unit; how long a local one takes is not known."""
        if self.placement is not None:
            return {**amounts_of(self.placement.costs), USD: self.worst_case}
        return {USD: self.worst_case, "tokens": self.tokens, "calls": 1}

    @property
    def queue(self) -> str:
        """The queue of the worker that makes the call."""
        return GPU if self.placement is None else self.placement.queue

    @property
    def batched(self) -> bool:
        """Whether the call goes in a batch."""
        return self.placement is not None and self.placement.batched

    def terms(self, units: Collection[str] | None = None) -> Terms:
        """The terms of the call's task, which holds what it may cost of these units, or of all."""
        reserve = {
            unit: amount
            for unit, amount in self.most.items()
            if amount and (units is None or unit in units)
        }
        local = self.placement is None
        return Terms(
            reserve,
            "release" if local else "charge",
            self.placement,
            self.files,
            None if local else float(self.most["seconds"]) or None,
            self.decision,
            self.asked,
            last=self.cheap and not self.batched,
        )


class CheckedCall(dict[str, Any]):
    """What a call says whatever model takes it, as its task's input has it.

    `files` are those whose bytes its messages bring, by their hashes.
    """

    files: Mapping[str, File]

    def __init__(self, call: Mapping[str, Any], files: Mapping[str, File]) -> None:
        super().__init__(call)
        self.files = files


def plan_call(
    conn: psycopg.Connection[Any],
    *,
    model: str,
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
    run: int | None = None,
    when: str | None = None,
    within: float | None = None,
) -> PlannedCall:
    """Check a call, which a coordinator of `run` makes, against its model's row and the devices.

    Without `max_tokens` the answer may have 512 tokens, or half of a shorter context. With `when`
    "cheap" it goes in a batch, or, where there are none, after all others; it must have ended
    `within` so many seconds.
    Raises NotFound (no such model), InvalidInput, NeverFitsError with the three numbers.
    """
    cheap = check_when(when)
    call = check_call(prompt, messages, max_tokens, sampling, run)
    planned = place_call(conn, call, model, max_tokens, cheap=cheap)
    if planned.batched:
        refuse_hurried(within)
    return planned


def check_call(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
    run: int | None = None,
) -> CheckedCall:
    """Check what can be checked without a model. Raises InvalidInput."""
    call = _check(prompt, messages, max_tokens, sampling)
    if "session" in call:
        call["session"] = session_name(call["session"], run)
    return call


def place_call(
    conn: psycopg.Connection[Any],
    checked: Mapping[str, Any],
    model: str,
    max_tokens: int | None,
    pool: int | None = None,
    *,
    cheap: bool = False,
) -> PlannedCall:
    """Plan a checked call for a model, in the cloud in the `pool` with this id, if given.

    Errors: as for `plan_call`.
    """
    call = dict(checked)
    if "messages" in call:
        call["messages"] = deepcopy(call["messages"])  # each model takes them in its own form
    try:
        row = models.get_model(conn, model)
    except NotFound:
        cloud = find_cloud_model(conn, model)
        if cloud is None:
            raise
        files = checked.files if isinstance(checked, CheckedCall) else {}
        return _place_cloud_call(conn, cloud, call, files, max_tokens, pool, cheap=cheap)
    _refuse_what_local_models_lack(model, call)
    if row.info.get("generates") is False:
        raise InvalidInput(
            f"the model {model!r} does not generate text", hint="it embeds: lmx embed"
        )
    n_ctx = int(call.setdefault("n_ctx", row.n_ctx))
    if max_tokens is None:
        max_tokens = default_max_tokens(n_ctx)
    if max_tokens >= n_ctx:
        raise InvalidInput(
            f"max_tokens is {max_tokens}, but the context holds only {n_ctx} tokens",
            hint="lower max_tokens or raise n_ctx",
        )
    models.refuse_oversized(conn, row, n_ctx, None)
    tokens_in = min(n_ctx, bytes_of(call) + TEMPLATE_TOKENS)
    worst = price(tokens_in, row.price_in) + price(max_tokens, row.price_out)
    body = {"model": model, "max_tokens": max_tokens, **call}
    return PlannedCall(body, worst, tokens=tokens_in + max_tokens, cheap=cheap)


def _place_cloud_call(
    conn: psycopg.Connection[Any],
    cloud: PublishedModel,
    call: dict[str, Any],
    brought: Mapping[str, File],
    max_tokens: int | None,
    pool: int | None,
    *,
    cheap: bool,
) -> PlannedCall:
    """Plan a checked call for a cloud model, with what its messages refer to."""
    messages = call.get("messages", ())
    parts = sources_of(messages)
    files = complete(conn, parts, brought)
    check_options(cloud.model, call)
    check_marks(cloud.model, cache_marks(messages))
    attached = attached_tokens(cloud.model, parts, files)
    beside = beside_the_text(max(1, len(messages)), attached, tools="tools" in call)
    plan = plan_cloud_call(conn, cloud, bytes_of(call), max_tokens, pool, beside, batched=cheap)
    check_thinking_budget(cloud.model, call.get("thinking"), plan.max_tokens)
    body = {"model": cloud.model.id, "max_tokens": plan.max_tokens, **call}
    return PlannedCall(body, plan.worst_case, plan.placement, tuple(files.values()), cheap)


def _refuse_what_local_models_lack(model: str, call: Mapping[str, Any]) -> None:
    as_plain_texts(call.get("messages", ()))
    if not isinstance(call.get("thinking", True), bool) or "reasoning_effort" in call:
        raise InvalidInput(
            f"{model!r} is a local model, which does not measure its thinking",
            hint="thinking may be true or false",
        )


def default_max_tokens(n_ctx: int) -> int:
    """The longest answer, in tokens, of a call that does not say."""
    return max(1, min(512, n_ctx // 2))


def refuse_unaffordable(call: PlannedCall, budget: Budgets) -> None:
    """Raise BudgetExceeded if a call could cost more than its budget."""
    for unit, amount in call.most.items():
        if unit in budget and amount > budget[unit]:
            raise BudgetExceeded(
                f"the call can cost up to {amount_text(unit, amount)}, more than its budget of"
                f" {amount_text(unit, budget[unit])}",
                hint="raise the budget, or lower max_tokens or the prompt's length",
            )


def _check(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
) -> CheckedCall:
    if (prompt is None) == (messages is None):
        raise InvalidInput("a model call takes either a prompt or messages")
    if prompt is not None and not prompt.strip():
        raise InvalidInput("the prompt is empty")
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise InvalidInput(
            f"max_tokens is {max_tokens!r}", hint="it must be a whole number above 0"
        )
    for name, value in sampling.items():
        _check_option(name, value)
    given: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}
    _check_form(given)
    _check_others(given)
    check_tools(given, with_messages=messages is not None)
    if prompt is not None:
        return CheckedCall({"prompt": prompt, **given}, {})
    files: dict[str, File] = {}
    turns = [check_message(message, files) for message in messages or ()]
    return CheckedCall({"messages": turns, **given}, files)


def _check_option(name: str, value: Any) -> None:
    if name not in _NUMBERS:
        if name not in _OTHERS:
            known = ", ".join(sorted([*_NUMBERS, *_OTHERS]))
            raise InvalidInput(f"unknown option {name!r} of a model call; known: {known}")
        return
    low, high = _NUMBERS[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and low <= value <= high):
        raise InvalidInput(
            f"{name} is {value!r}", hint=f"it must be from {in_full(low)} to {in_full(high)}"
        )


def _check_form(call: dict[str, Any]) -> None:
    """Check what the text must look like; whether it can be made is the engine's to say.

    A schema is kept as text, because the database does not keep the order of its properties.
    """
    if isinstance(call.get("json_schema"), str):
        _refuse_no_json(call["json_schema"])
    elif "json_schema" in call:
        try:
            call["json_schema"] = json.dumps(call["json_schema"], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"json_schema cannot be written as JSON: {error}") from None
    forms = [name for name in ("grammar", "json_schema") if name in call]
    for name in forms:
        if not isinstance(call[name], str) or len(call[name].encode()) > MAX_FORM:
            raise InvalidInput(f"{name} must be a text of at most {MAX_FORM} bytes")
    if len(forms) > 1:
        raise InvalidInput("a model call takes either a grammar or a json_schema")
    if forms and call.get("stop"):
        raise InvalidInput(
            f"a stop text would cut the answer short of its {forms[0]}", hint="leave out stop"
        )


def _refuse_no_json(schema: str) -> None:
    try:
        json.loads(schema)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"json_schema is not valid JSON: {error}") from None


def _check_others(call: Mapping[str, Any]) -> None:
    _check_thinking(call)
    for name in ("stop", "dry_breakers"):
        texts = call.get(name, ())
        if not isinstance(texts, str) and not all(isinstance(text, str) for text in texts):
            raise InvalidInput(f"{name} must be a text or a list of texts")
    if not isinstance(call.get("template_options", {}), Mapping):
        raise InvalidInput("template_options must be an object")
    bias = call.get("logit_bias", {})
    if not isinstance(bias, Mapping) or not all(map(_is_bias, bias.items())):
        raise InvalidInput(
            "logit_bias must be an object of numbers by token id", hint='{"42": -100}'
        )


def _check_thinking(call: Mapping[str, Any]) -> None:
    if not isinstance(call.get("parallel_tool_calls", True), bool):
        raise InvalidInput("parallel_tool_calls must be true or false")
    thinking = call.get("thinking", True)
    number = isinstance(thinking, int) and thinking >= _LEAST_THINKING
    if not isinstance(thinking, bool) and not number:
        raise InvalidInput(
            f"thinking is {thinking!r}",
            hint=f"it must be true, false or a number of tokens from {_LEAST_THINKING}",
        )
    if call.get("reasoning_effort", "low") not in _EFFORTS:
        raise InvalidInput(
            f"reasoning_effort is {call['reasoning_effort']!r}",
            hint=f"it must be one of {', '.join(_EFFORTS)}",
        )


def _is_bias(entry: tuple[Any, Any]) -> bool:
    token, value = entry
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and str(token).isascii() and str(token).isdigit()


def bytes_of(call: Mapping[str, Any]) -> int:
    """The size of the text, which bounds its tokens: no token is shorter than a byte."""
    forms = sum(len(call.get(name, "").encode()) for name in ("tools", "json_schema", "grammar"))
    if "prompt" in call:
        return forms + len(call["prompt"].encode())
    return forms + sum(text_bytes(message) for message in call["messages"])
