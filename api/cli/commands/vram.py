"""`lmx vram`: who holds the memory of the devices."""

from typing import TYPE_CHECKING

import typer

from lmx.api.cli.options import AsJson
from lmx.api.cli.output import note, print_rich, write_json

if TYPE_CHECKING:
    from rich.text import Text

    from lmx.workflows.devices import Device

_BAR = 50
_COLOURS = {"weights": "cyan", "kv": "green", "compute": "yellow", "stream_slots": "magenta"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("vram", rich_help_panel="Models and machine")(vram)


def vram(as_json: AsJson = False) -> None:
    """Show how much memory of each device is booked, and by whom."""
    from dataclasses import asdict

    from lmx.api.cli.session import session
    from lmx.workflows.devices import list_devices

    with session() as opened:
        devices = list_devices(opened.connection)
    if as_json:
        write_json([{**asdict(one), "used": one.used, "free": one.free} for one in devices])
        return
    if not devices:
        note("no GPU worker has run yet; start one: lmx up")
    for device in devices:
        _draw(device)


def _draw(device: "Device") -> None:
    from rich.markup import escape

    from lmx.api.cli.output import clock
    from lmx.workflows.units import format_bytes

    seen = "" if device.alive else f" (not served since {clock(device.seen_at)})"
    print_rich(f"[bold]{escape(device.name)}[/] on {escape(device.host)}{seen}")
    print_rich(_bar(device))
    print_rich(
        f"{format_bytes(device.used)} of {format_bytes(device.cap)} booked,"
        f" {format_bytes(device.free)} free"
    )
    for booking in filter(lambda booking: booking.bytes, device.bookings):
        task = f"  task {booking.task_id}" if booking.task_id else ""
        colour = _COLOURS.get(booking.kind, "white")
        size = format_bytes(booking.bytes)
        print_rich(
            f"  [{colour}]■[/] {size:>10}  {booking.kind:<12} {escape(booking.holder)}{task}"
        )


def _bar(device: "Device") -> "Text":
    from rich.text import Text

    bar = Text("▕")
    drawn = booked = 0
    for booking in device.bookings:
        booked += booking.bytes
        # Rounded from the running sum, so that the cells of many small bookings add up.
        end = min(_BAR, round(_BAR * booked / device.cap)) if device.cap else 0
        bar.append("█" * (end - drawn), _COLOURS.get(booking.kind, "white"))
        drawn = max(drawn, end)
    bar.append("░" * (_BAR - drawn), "dim")
    return bar.append("▏")
