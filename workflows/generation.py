"""Calls of models, local or in the cloud, as tasks: what they say and what they may cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows import models
from lmx.workflows.conversations import check_message, check_tools
from lmx.workflows.errors import BudgetExceeded, InvalidInput, NotFound
from lmx.workflows.money import USD, format_usd, price
from lmx.workflows.names import GPU
from lmx.workflows.providers.planning import Placement, plan_cloud_call
from lmx.workflows.providers.publishing import find_cloud_model
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
)
_SWITCHES: Final = ("parallel_tool_calls", "thinking")
#: The options of a call beside its model, its text and max_tokens.
OPTIONS: Final = frozenset((*_NUMBERS, *_OTHERS))
#: Bytes of a grammar or a schema.
MAX_FORM: Final = 65_536


@dataclass(frozen=True, slots=True)
class Terms:
    """What an attempt of a task holds of its budget, by unit; what it costs when it is lost.

    A lost attempt is charged what it held ("charge"), or has bought nothing ("release").
    `placement` is the pool of a cloud call.
    """

    reserve: Budgets | None = None
    lost: str = "charge"
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A checked call: its task input, the most it can cost in nano-dollars, its cloud pool."""

    input: dict[str, Any]
    worst_case: int
    placement: Placement | None = None

    @property
    def queue(self) -> str:
        """The queue of the worker that makes the call."""
        return GPU if self.placement is None else self.placement.queue

    def terms(self, *, budgeted: bool) -> Terms:
        """The terms of the call's task; without a budget in dollars it holds nothing."""
        reserve = {USD: self.worst_case} if budgeted and self.worst_case else None
        lost = "release" if self.placement is None else "charge"
        return Terms(reserve, lost, self.placement)


def plan_call(
    conn: psycopg.Connection[Any],
    *,
    model: str,
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
    run: int | None = None,
) -> PlannedCall:
    """Check a call, which a coordinator of `run` makes, against its model's row and the devices.

    Without `max_tokens` the answer may have 512 tokens, or half of a shorter context.
    Raises NotFound (no such model), InvalidInput, NeverFitsError with the three numbers.
    """
    call = check_call(prompt, messages, max_tokens, sampling, run)
    return place_call(conn, call, model, max_tokens)


def check_call(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
    run: int | None = None,
) -> dict[str, Any]:
    """What a call says whatever model takes it, as its task's input has it. Raises InvalidInput."""
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
) -> PlannedCall:
    """Plan a checked call for a model, in the cloud in the `pool` with this id, if given.

    Errors: as for `plan_call`.
    """
    call = dict(checked)
    try:
        row = models.get_model(conn, model)
    except NotFound:
        cloud = find_cloud_model(conn, model)
        if cloud is None:
            raise
        plan = plan_cloud_call(conn, cloud, bytes_of(call), max_tokens, pool)
        body = {"model": model, "max_tokens": plan.max_tokens, **call}
        return PlannedCall(body, plan.worst_case, plan.placement)
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
    return PlannedCall({"model": model, "max_tokens": max_tokens, **call}, worst)


def default_max_tokens(n_ctx: int) -> int:
    """The longest answer, in tokens, of a call that does not say."""
    return max(1, min(512, n_ctx // 2))


def refuse_unaffordable(call: PlannedCall, budget: int) -> None:
    """Raise BudgetExceeded if a call could cost more than `budget` nano-dollars."""
    if call.worst_case > budget:
        raise BudgetExceeded(
            f"the call can cost up to {format_usd(call.worst_case)}, more than its budget of"
            f" {format_usd(budget)}",
            hint="raise the budget, or lower max_tokens or the prompt's length",
        )


def _check(
    prompt: str | None,
    messages: Sequence[Mapping[str, Any]] | None,
    max_tokens: int | None,
    sampling: Mapping[str, Any],
) -> dict[str, Any]:
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
        return {"prompt": prompt, **given}
    return {"messages": [check_message(message) for message in messages or ()], **given}


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
    if "json_schema" in call and not isinstance(call["json_schema"], str):
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


def _check_others(call: Mapping[str, Any]) -> None:
    for name in _SWITCHES:
        if not isinstance(call.get(name, True), bool):
            raise InvalidInput(f"{name} is {call[name]!r}", hint="it must be true or false")
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


def _is_bias(entry: tuple[Any, Any]) -> bool:
    token, value = entry
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and str(token).isascii() and str(token).isdigit()


def bytes_of(call: Mapping[str, Any]) -> int:
    """The size of the text, which bounds its tokens: no token is shorter than a byte."""
    if "prompt" in call:
        return len(call["prompt"].encode())
    tools = len(call.get("tools", "").encode())
    return tools + sum(_bytes_of_message(message) for message in call["messages"])


def _bytes_of_message(message: Mapping[str, Any]) -> int:
    size = len(message["content"].encode()) + len(message.get("reasoning", "").encode())
    for call in message.get("tool_calls", ()):
        size += len(json.dumps(call).encode())
    return size
