"""`lmx batches`: the batches of calls that are at their providers, and those that were."""

from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import LARGEST_ID, AsJson
from lmx.api.cli.output import clock, note, print_table, write_json

if TYPE_CHECKING:
    from lmx.workflows.views import BatchView

_COLUMNS = ["id", "pool", "model", "state", "calls", "open", "done", "failed", "since", "until"]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(epilog=examples("lmx batches", "lmx batches --all --json"))(batches)


def batches(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that have ended, too, the latest first.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    before: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_ID, help="Only batches with a smaller id: the next page."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the batches in which calls queued with --when cheap wait for their answers."""
    from lmx.api.cli.session import session
    from lmx.workflows.views import list_batches

    with session() as opened:
        state = None if everything else "active"
        found = list_batches(opened.database, state=state, limit=limit, before=before)
    if as_json:
        write_json(found)
        return
    print_table([*_COLUMNS, "because"], [_row(view) for view in found])
    if not found:
        note("no batches: queue calls with --when cheap")


def _row(view: "BatchView") -> list[str]:
    until = view.ended_at or view.expires_at
    return [
        str(view.id),
        view.pool,
        view.model,
        view.state,
        str(view.calls),
        str(view.waiting),
        str(view.succeeded),
        str(view.failed),
        clock(view.created_at),
        clock(until),
        view.error or "",
    ]
