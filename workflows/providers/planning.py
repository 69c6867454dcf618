"""A cloud call before it is queued: where it goes, what it may use and cost at the most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.allowances.looking import clock, purse_of
from lmx.workflows.allowances.purse import Deferral, amounts_of
from lmx.workflows.allowances.rules import never_fits, refuse_impossible
from lmx.workflows.errors import InvalidInput, NotFound
from lmx.workflows.providers.catalog import CloudModel
from lmx.workflows.providers.publishing import Choice, PublishedModel, now, pools_of

#: Tokens that a provider puts around each message, at the most.
_AROUND_A_MESSAGE: Final = 32
#: Bytes of text per token that are counted before a pool has learnt better; few texts have fewer.
_BYTES_PER_TOKEN: Final = 3
_DEFAULT_OUTPUT: Final = 4096
#: Tokens by which a provider itself tells a model of its tools, at the most.
_ABOUT_TOOLS: Final = 1_024
#: The options that every cloud model takes; `session` is for local models, and harms no other.
_COMMON: Final = frozenset(
    (
        *("prompt", "messages", "tools", "tool_choice", "json_schema", "session"),
        *("temperature", "top_p", "stop", "thinking", "reasoning_effort"),
    )
)
_OWN: Final[Mapping[str, frozenset[str]]] = {
    "anthropic": frozenset(("top_k", "parallel_tool_calls")),
    "gemini": frozenset(("top_k", "seed", "presence_penalty", "frequency_penalty")),
    "openai": frozenset(
        ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "parallel_tool_calls")
    ),
}
#: Features that an option needs; a server of one's own need not list them.
_NEEDS: Final = {
    "tools": "tools",
    "json_schema": "json_schema",
    "thinking": "thinking",
    "reasoning_effort": "thinking",
}
#: Anthropic's least budget of thinking, which is a part of max_tokens.
_LEAST_THINKING: Final = 1_024
#: How long a provider may be silent before its answer, and how slowly it may answer then.
_SILENCE_S: Final = 120
_SLOWEST_TOKENS_PER_S: Final = 10


@dataclass(frozen=True, slots=True)
class Placement:
    """The pool that a call is put into, and what it may use of each of the pool's dimensions.

    `batched` tells that it waits there for a batch.
    """

    pool_id: int
    queue: str
    model: str
    costs: Mapping[str, int]
    batched: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """Tokens of a call beside its text: the most that they are, and what they are as a rule."""

    most: int = 0
    usual: int = 0


@dataclass(frozen=True, slots=True)
class CloudPlan:
    """A checked cloud call: `worst_case` is the most it can cost, in nano-dollars."""

    placement: Placement
    max_tokens: int
    worst_case: int


def plan_cloud_call(
    conn: psycopg.Connection[Any],
    known: PublishedModel,
    size: int,
    max_tokens: int | None,
    pool: int | None = None,
    beside: Beside = Beside(),
    *,
    batched: bool = False,
) -> CloudPlan:
    """Plan a call whose text has `size` bytes, for the pool with this id or else the freest one.

    With `batched` it goes in a batch, for the price of batches, if the model has any.

    Raises InvalidInput, NotFound, BudgetExceeded for what no account's allowances can ever hold.

    No token is shorter than a byte: that bounds the cost. Limits count by a smaller estimate, which
    is trued up by what the call has used.
    """
    model = known.model
    wanted = max_tokens or default_output(model.max_output)
    if wanted > model.max_output:
        raise InvalidInput(
            f"max_tokens is {wanted}, but {model.id} answers with at most {model.max_output}",
            hint="lower max_tokens",
        )
    estimate = estimated_tokens(size) + beside.usual
    if estimate > 2 * model.context:
        raise InvalidInput(
            f"the prompt has {size} bytes and {beside.usual} tokens of images and files;"
            f" {model.id} takes {model.context} tokens",
            hint="shorten it",
        )
    pools = pools_of(conn, model, batched=True) if batched else []
    batched = bool(pools)
    if not batched:
        pools = [one for one in pools_of(conn, model) if pool is None or one.id == pool]
    if not pools:
        raise NotFound(f"no account can call {model.id}", hint="see `lmx limits`")
    worst = worst_cost(known, size + beside.most, wanted, batched=batched)
    costs = {
        "requests": 1,
        "input_tokens": estimate,
        "output_tokens": wanted,
        "tokens": longest_prompt(known, size + beside.most) + wanted,
        "seconds": 0 if batched else longest_s(wanted),  # no worker works in a batch
        "usd": worst,
    }
    chosen = _affordable(conn, pools, amounts_of(costs))
    placement = Placement(chosen.id, chosen.queue, model.id, costs, batched)
    return CloudPlan(placement, wanted, worst)


def _affordable(
    conn: psycopg.Connection[Any], pools: Sequence[Choice], amounts: Mapping[str, int]
) -> Choice:
    """The first pool whose account may spend so much in its present period, or at least ever.

    Raises BudgetExceeded.
    """
    refused = [never_fits(conn, pool.account, amounts) for pool in pools]
    able = [pool for pool, refusal in zip(pools, refused, strict=True) if refusal is None]
    if not able:
        raise refuse_impossible(next(filter(None, refused)), amounts)
    if len(able) == 1:
        return able[0]
    purse = purse_of(conn, clock(conn))
    now = (one for one in able if not isinstance(purse.refusal(one.account, amounts), Deferral))
    return next(now, able[0])


def estimated_tokens(size: int) -> int:
    """About how many tokens a text of `size` bytes has."""
    return size // _BYTES_PER_TOKEN + _AROUND_A_MESSAGE


def longest_s(max_tokens: int) -> int:
    """The seconds after which a call is ended: it was silent for long, or endlessly slow."""
    return _SILENCE_S + -(-max_tokens // _SLOWEST_TOKENS_PER_S)


def default_output(max_output: int) -> int:
    """The longest answer, in tokens, of a cloud call that does not say."""
    return min(_DEFAULT_OUTPUT, max_output)


def worst_cost(known: PublishedModel, size: int, max_tokens: int, *, batched: bool = False) -> int:
    """The most that a call can cost whose text has `size` bytes, in nano-dollars."""
    prompt = longest_prompt(known, size)
    return known.prices.worst_case(known.model.id, prompt, max_tokens, now(), batch=batched)


def longest_prompt(known: PublishedModel, size: int) -> int:
    """The most tokens that a text of `size` bytes can have: no token is shorter than a byte."""
    return min(known.model.context, size + _AROUND_A_MESSAGE)


def beside_the_text(messages: int, attached: tuple[int, int], *, tools: bool) -> Beside:
    """What so many messages, images and files (most, usual) and tools add to a text."""
    around = (messages - 1) * _AROUND_A_MESSAGE + (_ABOUT_TOOLS if tools else 0)
    most, usual = attached
    return Beside(most + around, usual + around)


def check_options(model: CloudModel, call: Mapping[str, Any]) -> None:
    """Raise InvalidInput for an option that the provider does not know: it would not be obeyed."""
    known = _COMMON | _OWN[model.provider]
    if unknown := sorted(set(call) - known):
        raise InvalidInput(
            f"{model.id} does not take {unknown[0]}", hint="leave it out, or choose a local model"
        )
    missing = [option for option, feature in _NEEDS.items() if feature not in model.features]
    for option in missing if model.provider != "openai" else ():
        if call.get(option):
            raise InvalidInput(
                f"{model.id} has no {_NEEDS[option]}", hint="`lmx models list` shows what each has"
            )


def check_thinking_budget(model: CloudModel, thinking: bool | int | None, max_tokens: int) -> None:
    """Raise InvalidInput for a budget of thinking that the provider would refuse."""
    if thinking is None or isinstance(thinking, bool) or model.provider != "anthropic":
        return
    if not _LEAST_THINKING <= thinking < max_tokens:
        raise InvalidInput(
            f"thinking is {thinking} tokens of {max_tokens}",
            hint=f"{model.id} takes from {_LEAST_THINKING} to below max_tokens",
        )


def placed(task: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """The row of place_calls.sql for a task, named by `id`, or by `parent_id` and `key`."""
    return {
        **task,
        "pool_id": placement.pool_id,
        "model": placement.model,
        "costs": dict(placement.costs),
    }
