"""`lmx budget`: what may be spent, what was, and whether the books balance."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lmx.api.cli.examples import examples
from lmx.api.cli.options import LARGEST_ID, AsJson

Account = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of one account only: anthropic/default.")
]
Per = Annotated[str, typer.Option(help="day, month, or total for all time.")]
Unit = Annotated[str, typer.Option(help="usd, tokens, calls or seconds.")]


class _Runs(TyperGroup):
    """`lmx budget 17` is `lmx budget show 17`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, ["show", *args] if args[0].isdecimal() else args)


budget = typer.Typer(cls=_Runs, help="Budgets and allowances: what may be spent, and what was.")


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(budget, name="budget", rich_help_panel="Control")


@budget.callback(
    invoke_without_command=True,
    epilog=examples("lmx budget", "lmx budget 17", "lmx budget --check", "lmx budget set 5.00"),
)
def overview(
    ctx: typer.Context,
    as_json: AsJson = False,
    check: Annotated[
        bool, typer.Option("--check", help="Add up the whole ledger; exit code 1 if a sum is off.")
    ] = False,
) -> None:
    """Show the allowances of days and accounts, and the budgets of all runs that go on.

    A number shows the budgets of that run.
    """
    if ctx.invoked_subcommand is not None:
        return
    if check:
        _check(None, as_json)
        return
    from lmx.api.cli.output import note, print_rich, print_table, write_json
    from lmx.api.cli.purses import ALLOWANCE_COLUMNS, allowance_row, draw_budgets
    from lmx.api.cli.session import session
    from lmx.workflows.allowances.rules import list_allowances
    from lmx.workflows.budgets import run_budgets, runs_with_budgets

    with session() as opened:
        with opened.database.connect() as conn:
            allowances = list_allowances(conn)
        runs = [run_budgets(opened.database, run) for run in runs_with_budgets(opened.database)]
    if as_json:
        write_json({"allowances": allowances, "runs": runs})
        return
    if allowances:
        print_table(ALLOWANCE_COLUMNS, [allowance_row(one) for one in allowances])
    for nodes in runs:
        print_rich(draw_budgets(nodes))
    if not allowances and not runs:
        note("nothing is limited; set a day's allowance with: lmx budget set 5.00")


@budget.command(epilog=examples("lmx budget show 17", "lmx budget 17 --json"))
def show(
    run: Annotated[int, typer.Argument(help="The run's id.", min=1, max=LARGEST_ID)],
    as_json: AsJson = False,
) -> None:
    """Draw the budgets of a run: its coordinators and workers, each beneath who granted it."""
    from lmx.api.cli.output import print_rich, write_json
    from lmx.api.cli.purses import draw_budgets
    from lmx.api.cli.session import session
    from lmx.workflows.budgets import run_budgets

    with session() as opened:
        nodes = run_budgets(opened.database, run)
    if as_json:
        write_json(nodes)
    else:
        print_rich(draw_budgets(nodes))


@budget.command(
    "set",
    epilog=examples(
        "lmx budget set 5.00",
        "lmx budget set --per month --account anthropic/default 100",
        "lmx budget set --unit calls --zone Europe/Berlin 2000",
    ),
)
def set_(
    amount: Annotated[str, typer.Argument(help="Dollars, or a whole number of another unit.")],
    per: Per = "day",
    account: Account = None,
    unit: Unit = "usd",
    zone: Annotated[str, typer.Option(help="Whose days and months: Europe/Berlin.")] = "UTC",
) -> None:
    """Let calls in the cloud spend at most so much in each day, or month, or in all.

    What does not fit waits until the day or the month is over, or the allowance is raised.
    """
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows.allowances.rules import accounts_served, allowance, set_allowance

    given = allowance(amount, unit=unit, per=per, account=account, zone=zone)
    with session() as opened, opened.database.connect() as conn:
        set_allowance(conn, given)
        served = accounts_served(conn)
    note(f"calls may spend {given}")
    if account is not None and account not in served:
        known = f"; served are {', '.join(served)}" if served else ""
        note(f"but no worker has served {account} yet{known}")


@budget.command(epilog=examples("lmx budget unset", "lmx budget unset --account gemini/default"))
def unset(per: Per = "day", account: Account = None, unit: Unit = "usd") -> None:
    """End an allowance. What was spent stays in the ledger."""
    from lmx.api.cli.output import note
    from lmx.api.cli.session import session
    from lmx.workflows.allowances.purse import EVERYTHING
    from lmx.workflows.allowances.rules import end_allowance

    with session() as opened, opened.database.connect() as conn:
        end_allowance(conn, account or EVERYTHING, unit, per)
    note("ended; what waited for it goes on")


@budget.command(epilog=examples("lmx budget check", "lmx budget check 17"))
def check(
    run: Annotated[
        int | None, typer.Argument(help="Check one run only.", min=1, max=LARGEST_ID)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add up every charge, and compare with what budgets and allowances say was spent and granted.

    Exit code 0 when all sums are exact, 1 when one is not.
    """
    _check(run, as_json)


def _check(run: int | None, as_json: bool) -> None:
    from lmx.api.cli.output import note, write, write_json
    from lmx.api.cli.session import session
    from lmx.workflows.allowances.audit import check_allowances
    from lmx.workflows.views import check_budgets

    with session() as opened:
        found: list[Any] = list(check_budgets(opened.database, run))
        if run is None:
            found += check_allowances(opened.database)
    if as_json:
        write_json(found)
    else:
        for discrepancy in found:
            write(str(discrepancy))
    if found:
        raise typer.Exit(1)
    if not as_json:
        note("every budget adds up" if run else "every budget and every allowance adds up")
