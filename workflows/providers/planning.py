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
    conn: psycopg.Connection[Any], known: PublishedModel, size: int, max_tokens: int | None
) -> CloudPlan:
    """Plan a call whose text has `size` bytes. Raises InvalidInput, NotFound.

    No token is shorter than a byte: that bounds the cost. Limits count by a smaller estimate, which
    is trued up by what the call has used.
    """
    model = known.model
    wanted = max_tokens or min(4096, model.max_output)
    if wanted > model.max_output:
        raise InvalidInput(
            f"max_tokens is {wanted}, but {model.id} answers with at most {model.max_output}",
            hint="lower max_tokens",
        )
    estimate = size // _BYTES_PER_TOKEN + _AROUND_A_MESSAGE
    if estimate > 2 * model.context:
        raise InvalidInput(
            f"the prompt has {size} bytes; {model.id} takes {model.context} tokens",
            hint="shorten it",
        )
    pools = pools_of(conn, model)
    if not pools:
        raise NotFound(f"no account can call {model.id}", hint="see `lmx limits`")
    prompt = min(model.context, size + _AROUND_A_MESSAGE)
    worst = known.prices.worst_case(model.id, prompt, wanted, now())
    costs = {"requests": 1, "input_tokens": estimate, "output_tokens": wanted, "usd": worst}
    return CloudPlan(Placement(pools[0].id, pools[0].queue, model.id, costs), wanted, worst)


def placed(task: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """The row of place_calls.sql for a task, named by `id`, or by `parent_id` and `key`."""
    return {
        **task,
        "pool_id": placement.pool_id,
        "model": placement.model,
        "costs": dict(placement.costs),
    }
