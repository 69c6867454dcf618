"""How results are written: JSON for programs, tables for people, notes on standard error."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

_ENDLESS = 1000

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def write(text: str) -> None:
    """Write one line of result to standard output."""
    typer.echo(text)


def write_json(value: Any, *, line: bool = False) -> None:
    """Write a result as JSON: indented, or on one line for a stream of results."""
    import orjson

    options = orjson.OPT_NON_STR_KEYS | (0 if line else orjson.OPT_INDENT_2)
    encoded = orjson.dumps(value, default=_plain, option=options)
    typer.echo(encoded)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)


def note(text: str) -> None:
    """Tell the person something that is not the result: one line on standard error."""
    typer.echo(f"lmx: {text}", err=True)


def console(*, stderr: bool = False) -> "Console":
    """A rich console that neither breaks nor cuts lines when it writes into a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _ENDLESS
    return Console(stderr=stderr, highlight=False, emoji=False, width=width)


def print_rich(content: "RenderableType") -> None:
    """Print a table, a tree or styled text."""
    console().print(content)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings: aligned for a person, tab-separated lines into a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    print_rich(table)


def clock(at: datetime | None) -> str:
    """A time of day in the reader's zone, with the date unless it is today."""
    if at is None:
        return "-"
    local = at.astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def duration(seconds: float | None) -> str:
    """Seconds for reading: "0.8 s", "12 s", "3 min 20 s", "2 h 5 min"."""
    if seconds is None:
        return "-"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
