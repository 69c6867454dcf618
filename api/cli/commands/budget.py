"""`lmx budget`: whether the books balance."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import LARGEST_ID, AsJson
from lmx.api.cli.output import note, write, write_json

budget = typer.Typer(no_args_is_help=True, help="Budgets: what was granted, held and spent.")


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(budget, name="budget", rich_help_panel="Control")


@budget.command(epilog=examples("lmx budget check", "lmx budget check 17"))
def check(
    run: Annotated[
        int | None, typer.Argument(help="Check one run only.", min=1, max=LARGEST_ID)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add up every charge, and compare with what the budgets say was spent and granted.

    Exit code 0 when all sums are exact, 1 when one is not.
    """
    from lmx.api.cli.session import session
    from lmx.workflows.views import check_budgets

    with session() as opened:
        found = list(check_budgets(opened.database, run))
    if as_json:
        write_json(found)
    else:
        for discrepancy in found:
            write(str(discrepancy))
    if found:
        raise typer.Exit(1)
    if not as_json:
        note("every budget adds up")
