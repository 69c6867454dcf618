"""A cloud call before it is queued: where it goes, what it may use and cost at the most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lmx.workflows.errors import InvalidInput, NotFound
from lmx.workflows.providers.publishing import PublishedModel, now, pools_of

#: Tokens that a provider puts around each message, at the most.
_AROUND_A_MESSAGE: Final = 32
#: Bytes of text per token that are counted before a pool has learnt better; few texts have fewer.
_BYTES_PER_TOKEN: Final = 3
_DEFAULT_OUTPUT: Final = 4096


@dataclass(frozen=True, slots=True)
class Placement:
    """The pool that a call is put into, and what it may use of each of the pool's dimensions."""

    pool_id: int
    queue: str
    model: str
    costs: Mapping[str, int]


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
) -> CloudPlan:
    """Plan a call whose text has `size` bytes, for the pool with this id or else the freest one.

    Raises InvalidInput, NotFound.

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
    estimate = estimated_tokens(size)
    if estimate > 2 * model.context:
        raise InvalidInput(
            f"the prompt has {size} bytes; {model.id} takes {model.context} tokens",
            hint="shorten it",
        )
    pools = [one for one in pools_of(conn, model) if pool is None or one.id == pool]
    if not pools:
        raise NotFound(f"no account can call {model.id}", hint="see `lmx limits`")
    worst = worst_cost(known, size, wanted)
    costs = {"requests": 1, "input_tokens": estimate, "output_tokens": wanted, "usd": worst}
    return CloudPlan(Placement(pools[0].id, pools[0].queue, model.id, costs), wanted, worst)


def estimated_tokens(size: int) -> int:
    """About how many tokens a text of `size` bytes has."""
    return size // _BYTES_PER_TOKEN + _AROUND_A_MESSAGE


def default_output(max_output: int) -> int:
    """The longest answer, in tokens, of a cloud call that does not say."""
    return min(_DEFAULT_OUTPUT, max_output)


def worst_cost(known: PublishedModel, size: int, max_tokens: int) -> int:
    """The most that a call can cost whose text has `size` bytes, in nano-dollars."""
    prompt = min(known.model.context, size + _AROUND_A_MESSAGE)
    return known.prices.worst_case(known.model.id, prompt, max_tokens, now())


def placed(task: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """The row of place_calls.sql for a task, named by `id`, or by `parent_id` and `key`."""
    return {
        **task,
        "pool_id": placement.pool_id,
        "model": placement.model,
        "costs": dict(placement.costs),
    }
