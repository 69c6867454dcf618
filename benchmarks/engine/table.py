"""The one table: what was measured, the goal, and whether it was reached."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.engine.settings import Settings


@dataclass(frozen=True)
class Row:
    """One measured value. ``at_least`` or ``at_most`` is its goal; without one it is shown only.

    ``detail`` says what stands behind the value; ``samples`` are the values of each round.
    """

    name: str
    value: float
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    detail: str = ""
    samples: Sequence[float] = field(default_factory=tuple)

    @property
    def passed(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        return low and high

    @property
    def goal(self) -> str:
        parts = []
        if self.at_least is not None:
            parts.append(f">= {number(self.at_least)}")
        if self.at_most is not None:
            parts.append(f"<= {number(self.at_most)}")
        return ", ".join(parts)


_VERDICT = {True: "pass", False: "MISSED", None: ""}


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("measure", "value", "goal", "", "behind it"):
        table.add_column(heading, justify="right" if heading in ("value", "goal") else "left")
    for row in rows:
        verdict = _VERDICT[row.passed]
        colour = {True: "green", False: "bold red", None: ""}[row.passed]
        marked = f"[{colour}]{verdict}[/]" if colour else verdict
        table.add_row(row.name, f"{number(row.value)} {row.unit}", row.goal, marked, row.detail)
    console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The same as a table for docs/engine/benchmarks.md."""
    lines = ["| measure | value | goal | | behind it |", "|---|---:|---:|---|---|"]
    for row in rows:
        value = f"{number(row.value)} {row.unit}"
        cells = (row.name, value, row.goal, _VERDICT[row.passed], row.detail)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save(rows: Sequence[Row], settings: Settings, path: Path) -> None:
    document: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "llama-cpp-python": version("llama-cpp-python"),
            "load": os.getloadavg(),
        },
        "settings": {
            "threads": settings.threads,
            "clock": settings.clock,
            "rounds": settings.rounds,
            "tokens": settings.tokens,
        },
        "rows": [{**asdict(row), "passed": row.passed} for row in rows],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def load(path: Path) -> list[Row]:
    """The rows of a file that `save` wrote."""
    entries = json.loads(path.read_text())["rows"]
    for entry in entries:
        del entry["passed"]
    return [Row(**entry) for entry in entries]


def number(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
