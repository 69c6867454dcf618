"""The report: a table per workload on the terminal, and everything as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.runner import Entrant, Plan, Result, Results, finite
from benchmarks.workloads import Workload

_YARDSTICK = "lmx"
_MILLI = 1000.0


def show(results: Results, workloads: Iterable[Workload], console: Console) -> None:
    """Print one table per workload, best first, with ratios to lmx."""
    for workload in workloads:
        rows = {e: r for (name, e), r in results.items() if name == workload.name}
        if rows:
            console.print(_table(workload, rows))


def save(results: Results, plan: Plan, server_version: str, path: Path) -> None:
    """Write every sample, median and count as JSON."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpus": os.cpu_count(),
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "postgres": server_version,
        },
        "rounds": plan.rounds,
        "results": [
            _entry(workload, entrant, results[workload.name, entrant])
            for workload in plan.workloads
            for entrant in plan.entrants(workload)
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _entry(workload: Workload, entrant: Entrant, result: Result) -> dict[str, Any]:
    return {
        "workload": workload.name,
        "system": entrant.system,
        "settings": entrant.settings,
        "unit": workload.unit,
        "medians": {m: finite(result.median(m)) for m in workload.measures},
        "samples": [
            {name: finite(value) for name, value in sample.values.items()}
            for sample in result.samples
        ],
        "cpu_seconds_per_unit": result.cpu(),
        **{
            f"{field.name}_per_unit": getattr(result, field.name)
            for field in dataclasses.fields(result)
            if field.name in ("commits", "writes", "round_trips")
        },
        "error": result.error,
    }


def _table(workload: Workload, rows: dict[Entrant, Result]) -> Table:
    table = Table(title=workload.title, title_justify="left")
    table.add_column("system")
    for measure in workload.measures:
        name = f"{workload.unit}s/s" if measure == "per_second" else measure
        table.add_column(name, justify="right")
    counts = ("commits", "write txs", "round trips", "CPU ms") if workload.counted else ()
    for heading in ("best round", "lmx is x times", *counts):
        table.add_column(heading, justify="right")
    main = workload.measures[0]
    ours = next((r.median(main) for e, r in rows.items() if e.system == _YARDSTICK), None)
    for entrant, result in sorted(rows.items(), key=lambda row: _rank(workload, row[1])):
        table.add_row(*_row(workload, entrant, result, ours))
    return table


def _rank(workload: Workload, result: Result) -> float:
    value = result.median(workload.measures[0])
    if value is None:
        return float("inf")
    return -value if workload.higher_is_better else value


def _row(workload: Workload, entrant: Entrant, result: Result, ours: float | None) -> list[str]:
    medians = [result.median(measure) for measure in workload.measures]
    row = [entrant.label, *(_number(value) for value in medians), _number(result.best(workload))]
    theirs = finite(medians[0])
    if ours and theirs and result.error is None:
        row.append(f"{ours / theirs if workload.higher_is_better else theirs / ours:.2f}")
    else:
        row.append("failed" if result.error is not None else "-")
    if workload.counted:
        cpu = result.cpu()
        counts = (result.commits, result.writes, result.round_trips)
        row += [_number(value, 3) for value in counts]
        row.append(_number(cpu * _MILLI if cpu is not None else None, 3))
    return row


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    if finite(value) is None:
        return "never"
    if digits is None:
        digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
