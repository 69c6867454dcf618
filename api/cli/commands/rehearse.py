"""`lmx rehearse`: a night's work in a minute, against providers that are played locally."""

from typing import TYPE_CHECKING, Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.output import note, print_table, write_json

if TYPE_CHECKING:
    from lmx.api.rehearsal.sprint import PoolReport


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        epilog=examples(
            "lmx rehearse", "lmx rehearse --profile mine.toml --speed 10", "lmx rehearse --json"
        )
    )(rehearse)


def rehearse(
    profile: Annotated[
        str, typer.Option(help="A shipped profile, or the path of a .toml file.")
    ] = "sprint",
    speed: Annotated[
        float, typer.Option(help="How much faster than real time the clock runs.", min=1, max=600)
    ] = 60.0,
    processes: Annotated[
        int, typer.Option(help="Worker processes of each provider.", min=1, max=16)
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run agents against local providers that enforce the published limits; nothing is spent.

    The real workers and SDKs are used, with a database of their own in the folder `rehearsal` of
    LMX_HOME. Shows how much of each limit was used, how often a limit was hit, and the cost.
    """
    from lmx.api.rehearsal.scenario import load_scenario
    from lmx.api.rehearsal.sprint import rehearse as run
    from lmx.workflows.config import load_settings

    scenario = load_scenario(profile)
    note(f"{scenario.title}; {scenario.minutes:g} minutes at {speed:g} times real time")
    reports = run(load_settings(), scenario, speed, processes, note)
    if as_json:
        write_json(reports)
    else:
        columns = ["pool", "calls", "tokens in", "tokens out", "cost", "limit", "used", "429s"]
        print_table(columns, [_row(report) for report in reports])
    if any(report.refused for report in reports):
        raise typer.Exit(1)


def _row(report: "PoolReport") -> list[str]:
    from lmx.workflows.money import format_usd

    return [
        report.pool,
        str(report.calls),
        f"{report.input_tokens:,}",
        f"{report.output_tokens:,}",
        format_usd(report.nano_usd),
        report.limit,
        f"{report.share:.1%}",
        str(report.refused),
    ]
