"""Tables for docs/benchmarks.md: `python -m benchmarks.markdown RESULTS.json ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.workloads import WORKLOADS, Workload

_MILLI = 1000.0
_COUNTS = (
    ("commits", "commits_per_unit", 1.0),
    ("write txs", "writes_per_unit", 1.0),
    ("round trips", "round_trips_per_unit", 1.0),
    ("CPU ms", "cpu_seconds_per_unit", _MILLI),
)


def tables(documents: list[dict[str, Any]]) -> str:
    """One Markdown table per workload found in the results."""
    entries = [entry for document in documents for entry in document["results"]]
    parts = []
    for workload in WORKLOADS.values():
        rows = [entry for entry in entries if entry["workload"] == workload.name]
        if rows:
            parts.append(_table(workload, rows))
    return "\n".join(parts)


def _table(workload: Workload, rows: list[dict[str, Any]]) -> str:
    main = workload.measures[0]
    ours = next((r["medians"][main] for r in rows if r["system"] == "lmx"), None)
    sign = -1.0 if workload.higher_is_better else 1.0
    rows = sorted(
        rows, key=lambda r: sign * r["medians"][main] if r["medians"][main] else float("inf")
    )
    counts = _COUNTS if workload.counted else ()
    names = [f"{workload.unit}s/s" if m == "per_second" else m for m in workload.measures]
    extra = ("best round", "lmx is x times", *(heading for heading, _, _ in counts))
    headings = ["system", *names, *extra]
    lines = [f"### {workload.title[0].upper()}{workload.title[1:]}", "", _line(headings)]
    lines.append("|---|" + "---:|" * (len(headings) - 1))
    for row in rows:
        cells = [_label(row), *(_number(row["medians"][m]) for m in workload.measures)]
        cells.append(_number(_best(workload, row)))
        cells.append(_ratio(workload, ours, row["medians"][main]))
        cells += [_number(row[key] and row[key] * factor, 3) for _, key, factor in counts]
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _label(row: dict[str, Any]) -> str:
    settings = "" if row["settings"] == "single" else f" ({row['settings']})"
    return f"**{row['system']}**" if row["system"] == "lmx" else row["system"] + settings


def _best(workload: Workload, row: dict[str, Any]) -> float | None:
    """The main measure of the best round, which other load on the machine disturbed least."""
    values = [sample[workload.measures[0]] for sample in row["samples"]]
    known = [value for value in values if value is not None]
    return (max if workload.higher_is_better else min)(known, default=None)


def _ratio(workload: Workload, ours: float | None, theirs: float | None) -> str:
    if not ours or not theirs:
        return ""
    return f"{ours / theirs if workload.higher_is_better else theirs / ours:.2f}"


def _number(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "never" if digits is None else ""
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print(tables([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
