"""Puts the commands together and turns whatever ends them into one line and an exit code."""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from lmx.api.cli.commands import (
    batches,
    budget,
    control,
    database,
    demo,
    doctor,
    embed,
    files,
    limits,
    models,
    observe,
    rehearse,
    route,
    run,
    service,
    submit,
    version,
    vram,
)
from lmx.api.cli.failures import EXIT_INTERRUPTED, explain

app = typer.Typer(
    name="lmx",
    epilog="Start with: lmx up, then lmx enqueue 'Say hello' --wait. Something amiss? lmx doctor.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    submit,
    embed,
    run,
    observe,
    control,
    models,
    service,
    database,
    budget,
    files,
    limits,
    route,
    batches,
    vram,
    doctor,
    demo,
    rehearse,
):
    group.add_to(app)
version.add_to(app)


def _print_version(asked: bool) -> None:
    if asked:
        version.version()
        raise typer.Exit


@app.callback()
def lmx(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Durable runs of language-model agents, on Postgres."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 bad input, 3 refused, 4 timed out, 5
    environment, 130 interrupted."""
    _make_writable()
    code = execute(sys.argv[1:] if args is None else args)
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # The reader of a pipe may leave; a full disk has lost the result.
        if not isinstance(error, BrokenPipeError) and code == 0:
            line, code = explain(error)
            typer.echo(line, err=True)
    sys.exit(code)


def _make_writable() -> None:
    """Let no closed stream and no encoding without a ✔ end a command."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def execute(args: Sequence[str]) -> int:
    """Run one command; return its exit code instead of exiting."""
    try:
        outcome = app(args=list(args), prog_name="lmx", standalone_mode=False)
    except (BrokenPipeError, SystemExit):
        # Typer and rich exit when the reader of a pipe has left, which is its right.
        return 0
    except KeyboardInterrupt:
        typer.echo(err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get("LMX_DEBUG") == "1":
            raise
        line, code = explain(error)
        if line:
            typer.echo(line, err=True)
        return code
    return outcome if isinstance(outcome, int) else 0
