"""`lmx vram`: who holds the memory of the devices; `lmx vram hold`: hold some for a command."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson, seconds
from lmx.api.cli.output import console, note, write_json

if TYPE_CHECKING:
    from rich.text import Text

    from lmx.api.cli.session import Session
    from lmx.api.cli.vram_picture import Style

_WIDEST: Final = 110
_PIPED: Final = 80
_WATCH_S: Final = 1.0


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    shown = examples("lmx vram --watch", "lmx vram hold 2GiB -- python train.py")
    group = typer.Typer(invoke_without_command=True, no_args_is_help=False, epilog=shown)
    group.callback()(vram)
    held = examples("lmx vram hold 2GiB --timeout 60 -- python train.py --epochs 3")
    group.command("hold", epilog=held)(hold)
    app.add_typer(group, name="vram", rich_help_panel="Models and machine")


def vram(
    context: typer.Context,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second.")] = False,
) -> None:
    """Show how much memory of each device is booked, by whom, and what the device does."""
    if context.invoked_subcommand is not None:
        return
    from lmx.api.cli.session import session

    with session() as opened:
        if watch:
            _watch(opened, as_json)
        elif as_json:
            write_json(_devices(opened))
        else:
            lines = _picture(opened, _style())
            if not lines:
                note("no GPU worker has run yet; start one: lmx up")
            for line in lines:
                console().print(line, soft_wrap=True)


def _devices(opened: "Session") -> list[dict[str, object]]:
    from lmx.workflows.devices import list_devices

    return [device.as_json() for device in list_devices(opened.connection)]


def _picture(opened: "Session", style: "Style") -> "list[Text]":
    from rich.text import Text

    from lmx.api.cli.vram_picture import draw
    from lmx.workflows.devices import list_devices
    from lmx.workflows.names import GPU
    from lmx.workflows.views import list_queues

    waiting = sum(queue.ready for queue in list_queues(opened.database) if queue.name == GPU)
    lines: list[Text] = []
    for device in list_devices(opened.connection):
        if lines:
            lines.append(Text(""))
        lines.extend(draw(device, style, waiting if device.alive else 0))
    return lines


def _style() -> "Style":
    from lmx.api.cli.vram_picture import Style

    screen = console()
    terminal = sys.stdout.isatty()
    try:
        "▕█▓▒≡·°".encode(getattr(sys.stdout, "encoding", None) or "ascii")
        only_ascii = False
    except UnicodeEncodeError:
        only_ascii = True
    width = min(screen.width, _WIDEST) if terminal else _PIPED
    return Style(width, terminal and screen.color_system is not None, only_ascii)


def _watch(opened: "Session", as_json: bool) -> None:
    """Show it again every second until Ctrl-C; JSON is one line each time."""
    if as_json or not sys.stdout.isatty():
        while True:
            if as_json:
                write_json(_devices(opened), line=True)
            else:
                for line in _picture(opened, _style()):
                    console().print(line, soft_wrap=True)
            sys.stdout.flush()
            time.sleep(_WATCH_S)
    from rich.console import Group
    from rich.live import Live

    with Live(console=console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(Group(*_picture(opened, _style())), refresh=True)
            time.sleep(_WATCH_S)


def hold(
    size: Annotated[str, typer.Argument(help="How much, such as 2GiB.")],
    command: Annotated[list[str], typer.Argument(help="The command, after --.")],
    device: Annotated[
        str | None, typer.Option("--device", help="Of which device of this host.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", callback=seconds, help="Wait at most so many seconds."),
    ] = None,
) -> int:
    """Hold memory of a device for a command while it runs.

    Waits until the bytes are free; idle models make room. The command's exit code is passed on.
    """
    from lmx.api.cli.held_command import program_of, run_held
    from lmx.api.cli.holding import Holding, device_to_hold, require_fit
    from lmx.api.cli.session import session
    from lmx.workflows.errors import InvalidInput
    from lmx.workflows.units import parse_bytes

    program = program_of(command)
    try:
        wanted = parse_bytes(size)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    if wanted == 0:
        raise InvalidInput("0 bytes need not be held")
    with session() as opened:
        found, taken = device_to_hold(opened.connection, opened.settings, device)
        require_fit(found, wanted)
        holding = Holding(opened.settings, opened.database, found, wanted, program, taken)
        holding.acquire(timeout)
        opened.close()
        return run_held(holding, command)
