"""`lmx db prune`: delete what ended long ago."""

from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson, span
from lmx.api.cli.output import clock, note, print_table, write_json

if TYPE_CHECKING:
    from lmx.workflows.database.connect import Database
    from lmx.workflows.retention.pruning import Pruned


def add_to(db: typer.Typer) -> None:
    """Register the command in the group."""
    db.command(
        epilog=examples(
            "lmx db prune --older-than 90d --dry-run",
            "lmx db prune --older-than 90d",
            "lmx db prune --older-than 365d --runs --yes",
        )
    )(prune)


def prune(
    older_than: Annotated[
        str, typer.Option(help="Only of runs that ended so long ago: 90d; at least 1d.")
    ],
    runs: Annotated[
        bool, typer.Option("--runs", help="The runs themselves, too, with all their results.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before runs are deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the records of runs that ended long ago: decisions, events, batches.

    What was asked, answered, recorded and spent stays. With --runs whole runs go, except for what
    they have spent. Killed in the middle, it goes on when it is run again.
    """
    from lmx.api.cli.session import session
    from lmx.workflows.retention.pruning import prune

    age = span(older_than, "--older-than")
    with session() as opened:
        if runs and not yes and not dry_run:
            _ask(opened.database, age)
        done = prune(opened.database, age, runs=runs, dry_run=dry_run)
    if as_json:
        write_json(done)
        return
    print_table(("what", "rows"), _rows(done))
    verb = "would be deleted" if dry_run else "deleted"
    note(f"{verb}, of runs that ended before {clock(done.before)}")
    if done.runs_before is not None and done.runs_before < done.before:
        note(
            f"runs that ended since {clock(done.runs_before)} stay: the present day or month of"
            " an allowance counts them"
        )


def _ask(database: "Database", age: int) -> None:
    from lmx.workflows.retention.pruning import prune

    found = prune(database, age, runs=True, dry_run=True)
    assert found.runs_before is not None
    typer.confirm(
        f"Delete the runs that ended before {clock(found.runs_before)}: {found.counts['runs']},"
        f" with the results of {found.counts['tasks']} tasks?",
        abort=True,
        err=True,
    )


def _rows(done: "Pruned") -> list[tuple[str, str]]:
    from lmx.workflows.units import format_bytes

    rows = [(kind, str(count)) for kind, count in done.counts.items() if kind != "bytes"]
    if freed := done.counts.get("bytes"):
        rows.append(("bytes of files", format_bytes(freed)))
    return rows
