"""`lmx doctor`: what is amiss, and what to do about it."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import print_rich, write_json

_MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(
        "doctor",
        rich_help_panel="Models and machine",
        epilog=examples("lmx doctor", "lmx doctor --quick --json"),
    )(doctor)


def doctor(
    quick: Annotated[bool, typer.Option("--quick", help="Do not hash the model files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check compiler, engine, memory, disk, database, models, port and processes.

    Exit code 0 when nothing fails, 5 otherwise. Starts and changes nothing.
    """
    from lmx.api.doctor import Check, examine
    from lmx.workflows.config import load_settings

    settings = load_settings()
    findings: list[Check] = []
    for check in examine(settings, quick=quick):
        findings.append(check)
        if not as_json:
            _print(check.subject, check.state, check.text, check.advice)
    if as_json:
        write_json(findings)
    if any(check.state == "fail" for check in findings):
        raise typer.Exit(5)


def _print(subject: str, state: str, text: str, advice: str | None) -> None:
    from rich.markup import escape

    print_rich(f"{_MARKS[state]}  {subject:<10}  {escape(text)}")
    if advice:
        print_rich(f"{'':18}[dim]{escape(advice)}[/]")
