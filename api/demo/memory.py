"""The demo's device as its worker tells of it: its ledger as a picture, and who made room."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from lmx.api.cli.vram_picture import Style, draw
from lmx.workflows.database.connect import Database
from lmx.workflows.devices import Device, list_devices
from lmx.workflows.units import format_bytes

_WIDEST: Final = 100
_COUNTED: Final = ("out", "into", "out_bytes", "in_bytes", "out_s", "in_s")


@dataclass
class DeviceWatch:
    """Looks at the device now and then; keeps the fullest moment, and the sums over all engines."""

    device: Device | None = None
    fullest: Device | None = None
    _ended: dict[str, float] = field(default_factory=dict)
    _current: dict[str, float] = field(default_factory=dict)

    def look(self, database: Database) -> None:
        """Take in what the device's worker has reported last."""
        with database.connect(application_name="lmx demo") as connection:
            devices = [device for device in list_devices(connection) if device.alive]
        if devices:
            self.take(devices[0])

    def take(self, device: Device) -> None:
        """What the device's worker says now."""
        self.device = device
        if self.fullest is None or device.used >= self.fullest.used:
            self.fullest = device
        if device.snapshot and "totals" in device.snapshot:
            self._count(device.snapshot["totals"])

    def _count(self, totals: Mapping[str, Any]) -> None:
        swaps = totals["swaps"]
        now = {name: float(swaps[name]) for name in _COUNTED}
        now |= {name: float(totals[name]) for name in ("evictions", "cached_tokens", "requests")}
        if now["requests"] < self._current.get("requests", 0.0):  # another engine's first words
            self._ended, self._current = self.sums, {}
        self._current = now

    @property
    def sums(self) -> dict[str, float]:
        """Over all engines of the run."""
        names = self._ended.keys() | self._current.keys()
        return {name: self._ended.get(name, 0.0) + self._current.get(name, 0.0) for name in names}

    def turns(self) -> str:
        """How often agents gave way to each other, in one line."""
        sums = self.sums
        if not sums:
            return "the device's worker has reported nothing"
        moved = format_bytes(int(sums["out_bytes"] + sums["in_bytes"]))
        took = (sums["out_s"] + sums["in_s"]) * 1000
        return (
            f"{sums['out']:.0f} sessions swapped out and {sums['into']:.0f} in"
            f" ({moved} in {took:.0f} ms), {sums['evictions']:.0f} evictions,"
            f" {sums['cached_tokens']:,.0f} prompt tokens not computed again"
        )


def picture(device: Device | None, console: Console) -> Iterator[Text]:
    """The device's ledger, drawn as `lmx vram` draws it."""
    if device is None:
        return
    encoding = console.encoding.lower()
    colours = console.is_terminal and console.color_system is not None
    style = Style(min(console.width, _WIDEST), colours, "utf" not in encoding)
    yield Text("")
    yield from draw(device, style)
