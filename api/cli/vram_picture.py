"""The ledger of a device as a picture: a bar by kind, then who holds what, rates, what went lately.

In colours on a terminal, where all cells are blocks; elsewhere each kind has a sign of its own, in
ASCII where the output cannot encode others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from rich.text import Text

from lmx.api.cli.output import clock, duration
from lmx.workflows.devices import Booking, Device
from lmx.workflows.holds import Hold
from lmx.workflows.units import format_bytes


@dataclass(frozen=True)
class Kind:
    """How a kind of bytes is drawn."""

    name: str
    label: str
    colour: str
    sign: str
    ascii: str


KINDS: Final = (
    Kind("weights", "weights", "cyan", "█", "W"),
    Kind("kv", "KV caches", "green", "▓", "K"),
    Kind("compute", "compute", "yellow", "▒", "C"),
    Kind("stream_slots", "stream slots", "magenta", "≡", "S"),
    Kind("claimed", "claimed", "blue", "+", "+"),
    Kind("foreign", "others", "red", "#", "F"),
)
FREE: Final = Kind("free", "free", "dim", "·", ".")
_OTHER: Final = Kind("other", "other", "white", "?", "?")
_EVENTS: Final = 4
_ROWS: Final = 12
_BUSY: Final = ("prefill", "generating")


@dataclass(frozen=True)
class Style:
    """Where the picture is drawn: columns, colours or not, only ASCII or not."""

    width: int
    colours: bool
    ascii: bool

    def sign(self, kind: Kind) -> str:
        """The cell of a kind."""
        if self.ascii:
            return kind.ascii
        return "█" if self.colours and kind is not FREE else kind.sign

    def separator(self) -> str:
        """What stands between parts of a line."""
        return " | " if self.ascii else " · "


def draw(device: Device, style: Style, waiting: int = 0) -> Iterator[Text]:
    """The lines of one device; `waiting` calls are in its queue."""
    yield _title(device, style)
    yield _bar(device, style)
    yield _legend(device, style)
    yield _sum(device)
    snapshot = device.snapshot if device.alive and device.snapshot else {}
    yield from _host(snapshot.get("host"))
    yield from _work(snapshot, style, waiting)
    yield from _models(snapshot, style)
    yield from _others(device)
    yield from _lately(snapshot)


def _title(device: Device, style: Style) -> Text:
    text = Text.assemble((device.name, "bold"), f" on {device.host}")
    if not device.alive:
        return text.append(f" (not served since {clock(device.seen_at)})", "dim")
    gpu = (device.snapshot or {}).get("gpu") or {}
    told = [
        gpu.get("name"),
        _unit(gpu.get("temperature"), "°C"),
        _unit(gpu.get("utilisation"), "%"),
    ]
    for part in filter(None, told):
        text.append(style.separator() + (part.replace("°", "") if style.ascii else part))
    return text


def _unit(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"


def cells(device: Device, width: int) -> list[tuple[Kind, int]]:
    """How many of `width` cells each kind gets: rounded from the running sum, so they add up.

    What is there gets a cell, if it must be one of a neighbour. More than the cap fills the bar.
    """
    kinds = device.by_kind
    known = {kind.name for kind in KINDS}
    other = sum(size for name, size in kinds.items() if name not in known)
    sizes = [(kind, kinds.get(kind.name, 0)) for kind in KINDS] + [(_OTHER, other)]
    whole = max(device.cap, device.used, 1)
    drawn = booked = 0
    shares = []
    for kind, size in sizes:
        booked += size
        end = max(round(width * booked / whole), drawn + (size > 0))
        end = min(end, width)
        shares.append((kind, end - drawn))
        drawn = end
    return [*shares, (FREE, width - drawn)]


def _bar(device: Device, style: Style) -> Text:
    left, right = ("[", "]") if style.ascii else ("▕", "▏")
    bar = Text(left)
    for kind, count in cells(device, max(10, style.width - 2)):
        bar.append(style.sign(kind) * count, kind.colour)
    return bar.append(right)


def _legend(device: Device, style: Style) -> Text:
    sizes = {**device.by_kind, "free": device.free}
    legend = Text()
    for kind in (*KINDS, FREE):
        if size := sizes.get(kind.name, 0):
            legend.append("  " if legend else "")
            legend.append(style.sign(kind), kind.colour)
            legend.append(f" {kind.label} {format_bytes(size)}")
    return legend


def _sum(device: Device) -> Text:
    booked = f"{format_bytes(device.used)} of {format_bytes(device.cap)} booked"
    text = Text(f"{booked}, {format_bytes(device.free)} free")
    if over := max(0, device.used - device.cap):
        text.append(f", {format_bytes(over)} more than the cap", "red")
    memory = (device.snapshot or {}).get("memory") if device.alive else None
    if memory:
        who = {
            "driver": "the driver counts {} in use",
            "nvml": "NVML counts {} in use",
            "process": "the worker process has {} resident (RSS, code and heap included)",
        }[memory["source"]]
        text.append("; " + who.format(format_bytes(memory["used"])), "dim")
    return text


def _host(host: Mapping[str, Any] | None) -> Iterator[Text]:
    if not host or not (host["used"] or host["disk_bytes"]):
        return
    kinds = host["by_kind"]
    parts = [f"{format_bytes(host['used'])} of {format_bytes(host['cap'])} of host memory"]
    if kinds.get("weights"):
        parts.append(f"{format_bytes(kinds['weights'])} of streamed weights")
    if host["saved"]:
        saved = f"{format_bytes(host['saved_bytes'])} of {len(host['saved'])} saved sessions"
        parts.append(saved)
    if host["disk_bytes"]:
        limit = format_bytes(host["disk_limit"])
        parts.append(f"{format_bytes(host['disk_bytes'])} of {limit} on disk")
    yield Text("host: " + ", ".join(parts))


def _work(snapshot: Mapping[str, Any], style: Style, waiting: int) -> Iterator[Text]:
    if "rates" not in snapshot:
        return
    rates, requests = snapshot["rates"], snapshot["requests"]
    running = sum(request["phase"] in _BUSY for request in requests)
    calls = f"{running} running, {len(requests) - running} in the engine's queue"
    yield Text(f"calls: {calls}, {waiting} in the queue of lmx")
    if not rates["busy"]:
        yield Text(f"idle for the last {duration(rates['window_s'])}", "dim")
        return
    parts = [
        f"decode {rates['completion_tokens_per_s']:.0f} tok/s",
        f"prefill {rates['prefill_tokens_per_s']:.0f} tok/s",
        f"batch {rates['batch']:.1f}",
        f"busy {rates['busy']:.0%}",
    ]
    speeds = (("swap out", "swap_out"), ("swap in", "swap_in"), ("stream", "stream"))
    for label, name in speeds:
        if speed := rates.get(f"{name}_bytes_per_s"):
            parts.append(f"{label} {speed / 1e9:.1f} GB/s")
    line = style.separator().join(parts)
    yield Text(f"{line} (last {duration(rates['window_s'])})")


def _models(snapshot: Mapping[str, Any], style: Style) -> Iterator[Text]:
    for model in snapshot.get("models", ())[:_ROWS]:
        text = Text(f"  {format_bytes(model['bytes']):>10}  {_file(model['id'])}", "cyan")
        about = "pinned" if model["pinned"] else f"idle for {duration(model['idle_s'])}"
        yield text.append(f"  {about}", "dim")
        if streaming := model.get("streaming"):
            yield _layers(streaming, style)
        for context in snapshot.get("contexts", ()):
            if context["model"] == model["id"]:
                yield _context(context)


def _layers(streaming: Mapping[str, Any], style: Style) -> Text:
    """Which layers are on the device and which pass through slots, one sign each; how fast."""
    layers, resident = streaming["layers"], streaming["resident_layers"]
    streamed = layers - resident
    stays, passes = ("#", "~") if style.ascii else ("█", "░")
    text = Text(f"  {format_bytes(streaming['slot_bytes']):>10}    ", "magenta")
    for layer in range(layers):  # spread as evenly as the engine spreads them
        passing = (layer + 1) * streamed // layers > layer * streamed // layers
        text.append(passes if passing else stays)
    about = f" {resident} layers resident, {streamed} streamed through {streaming['slots']} slots"
    if speed := streaming["copy_gb_per_s"]:
        about += f" at {speed:.1f} GB/s, waited for {streaming['wait_share']:.0%} of the time"
    return text.append(about, "dim")


def _context(context: Mapping[str, Any]) -> Text:
    size = format_bytes(context["kv_bytes"] + context["compute_bytes"])
    use = [f"{context['active']} running"]
    if context.get("parked"):
        use.append(f"{context['parked']} parked")
    slots = f"{context['slots']} x {context['n_ctx']} tokens"
    return Text(f"  {size:>10}    {slots}: {', '.join(use)}", "green")


def _others(device: Device) -> Iterator[Text]:
    """Holds, claims and processes: what is in no model and no context."""
    holds = {f"hold: {hold.holder}": hold for hold in device.holds}
    shown = [one for one in device.bookings if one.kind in ("foreign", "claimed") and one.bytes]
    for booking in shown[:_ROWS]:
        colour = "red" if booking.kind == "foreign" else "blue"
        yield Text(f"  {format_bytes(booking.bytes):>10}  {_holder(booking, holds)}", colour)
    for hold in device.holds:
        if not hold.granted:
            size = format_bytes(hold.bytes)
            text = f"  {size:>10}  {hold.command} (pid {hold.pid}) waits to hold them"
            yield Text(f"{text}, {duration(hold.age_s)}", "dim")


def _holder(booking: Booking, holds: Mapping[str, Hold]) -> str:
    if booking.task_id is not None:
        return f"task {booking.task_id} is about to begin"
    if hold := holds.get(booking.holder):
        return f"held for {hold.command} (pid {hold.pid}), {duration(hold.age_s)}"
    return booking.holder


def _lately(snapshot: Mapping[str, Any]) -> Iterator[Text]:
    """The last evictions, with their reasons."""
    evictions = [event for event in snapshot.get("events", ()) if event["kind"] == "evict"]
    for event in evictions[-_EVENTS:]:
        ago = duration(snapshot.get("uptime_s", event["at_s"]) - event["at_s"])
        what = f"{_file(event['subject'])} ({format_bytes(event['bytes'])})"
        yield Text(f"  {ago} ago: evicted {what} {event['reason']}", "dim")


def _file(name: str) -> str:
    return PurePath(name).name


def plain(lines: Sequence[Text]) -> str:
    """The lines without colours."""
    return "\n".join(line.plain for line in lines)
