"""Coordinators judge answers: a validator's no is a failure, and every verdict is recorded once."""

from typing import Any

from lmx.workflows.client import Client
from lmx.workflows.coordinators import ChildFailed, Context
from lmx.workflows.database.connect import Database
from lmx.workflows.registry import coordinator
from tests.support import pretend_model
from tests.support.flows import MODEL, note
from tests.support.workers import Workers


@coordinator
def critical(ctx: Context) -> list[Any]:
    """Ask three times: one answer is refused by its validator, one rejected, one accepted."""

    def never(result: dict[str, Any]) -> str:
        note("validated", model=result["model"])
        return "too short"

    calls = [
        ctx.generate(model=MODEL, prompt="One", max_tokens=8, validate=never),
        ctx.generate(model=MODEL, prompt="Two", max_tokens=8, validate=lambda _: True),
        ctx.generate(model=MODEL, prompt="Three", max_tokens=8),
    ]
    found = ctx.gather(*calls, return_exceptions=True)
    ctx.reject(calls[2], "off the subject")
    ctx.sleep(0.01)  # replays everything above
    again = ctx.gather(*calls, return_exceptions=True)
    assert [type(one) for one in found] == [type(one) for one in again]
    return [str(one) if isinstance(one, ChildFailed) else "good" for one in again]


def test_verdicts_of_a_coordinator_are_recorded_once(
    served: Workers, client: Client, database: Database
) -> None:
    pretend_model.register(database)
    served.start("gpu")
    refused, *others = client.result(client.submit("critical"), 20)
    assert refused.endswith("was rejected: too short")
    assert others == ["good", "good"]
    assert len(served.notes("validated")) == 1
    with database.connect() as conn:
        said = conn.execute(
            "SELECT kind, data ->> 'reason' FROM lmx.events"
            " WHERE kind IN ('accepted', 'rejected') ORDER BY id"
        ).fetchall()
    assert said == [("rejected", "too short"), ("accepted", None), ("rejected", "off the subject")]
