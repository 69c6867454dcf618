"""`lmx demo`: the whole of it, on this machine, in a minute or two."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo", epilog=examples("lmx demo", "lmx demo --crash"))(demo)


def demo(
    crash: Annotated[
        bool, typer.Option("--crash", help="Kill every process in the middle, and start again.")
    ] = False,
) -> None:
    """Watch three agents work on three local models, on a device too small for all three.

    Uses a database and processes of its own, in the folder `demo` of LMX_HOME, and stops them at
    the end. Nothing is downloaded.
    """
    from lmx.api.demo import run_demo
    from lmx.workflows.config import load_settings

    raise typer.Exit(run_demo(load_settings(), crash=crash))
