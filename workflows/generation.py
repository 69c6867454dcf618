"""Calls of models, local or in the cloud, as tasks: where they go and what they may cost."""

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
from lmx.workflows.call_options import CheckedCall, bytes_of, check_call
from lmx.workflows.cheap import check_when, refuse_hurried
from lmx.workflows.conversations import as_plain_texts, cache_marks
from lmx.workflows.errors import BudgetExceeded, InvalidInput
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
from lmx.workflows.submission import Budgets

#: Tokens that a chat template adds around the messages, at the most.
TEMPLATE_TOKENS: Final = 256


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
    row = models.find_model(conn, model)
    if row is None and (cloud := find_cloud_model(conn, model)) is not None:
        files = checked.files if isinstance(checked, CheckedCall) else {}
        return _place_cloud_call(conn, cloud, call, files, max_tokens, pool, cheap=cheap)
    row = row or models.get_model(conn, model)
    _refuse_what_local_models_lack(model, call)
    if row.info.get("generates") is False:
        raise InvalidInput(
            f"the model {model!r} does not generate text", hint="it embeds: lmx embed"
        )
    n_ctx = int(call.setdefault("n_ctx", row.n_ctx))
    _refuse_what_the_file_lacks(row, call)
    if max_tokens is None:
        max_tokens = default_max_tokens(n_ctx)
    if max_tokens >= n_ctx:
        raise InvalidInput(
            f"max_tokens is {max_tokens}, but the context holds only {n_ctx} tokens",
            hint="lower max_tokens or raise n_ctx",
        )
    models.refuse_oversized(conn, row, n_ctx, None, call.get("kv_type"))
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


def _refuse_what_the_file_lacks(row: models.Model, call: Mapping[str, Any]) -> None:
    """Raise InvalidInput for tokens, or a length of context, that the model does not know."""
    trained, vocabulary = row.info.get("n_ctx_train"), row.info.get("n_vocab")
    if trained and call["n_ctx"] > trained:
        raise InvalidInput(
            f"n_ctx is {call['n_ctx']}, but {row.name!r} was trained for {trained} tokens",
            hint="ask for no more than that",
        )
    unknown = [token for token in call.get("logit_bias", ()) if int(token) >= (vocabulary or 2**31)]
    if unknown:
        known = f", which has 0 to {vocabulary - 1}" if vocabulary else ""
        raise InvalidInput(f"logit_bias names token {unknown[0]} of {row.name!r}{known}")


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
