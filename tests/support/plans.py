"""Reads the plans that Postgres explains as JSON."""

from collections.abc import Iterator
from typing import Any


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All nodes of a plan, the top first."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_read(plan: dict[str, Any], index: str) -> int:
    """How many rows an executed plan read through an index, kept and filtered away."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes(plan)
        if node.get("Index Name") == index
    )


def tables_scanned(plan: dict[str, Any]) -> set[str]:
    """The tables that a plan reads from one end to the other."""
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def indexes_used(plan: dict[str, Any], table: str) -> set[str]:
    """The indexes through which a plan reads a table (bitmap scans included)."""
    return {
        node["Index Name"]
        for node in nodes(plan)
        if "Index Name" in node and node.get("Relation Name", table) == table
    }
