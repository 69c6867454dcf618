"""What choosing a model costs: `python -m benchmarks.route_cost`.

Submissions of one call each, by a model's name and by a route, in turn, beside a backlog of waiting
calls; and the look at calls that wait, with none and with many of them due.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.server import Server
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.database.migrate import upgrade
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.providers.publishing import publish
from lmx.workflows.routing.rerouting import reroute_due

_ROUNDS = 5
_CALLS = 50
_MODEL = "gemini-3.5-flash-lite"
_ROUTE = "bulk"


def measure(server: Server, backlog: int) -> list[tuple[str, float]]:
    """Milliseconds of each thing that is measured, the median of the rounds."""
    database = Database(server.create("route_cost"))
    try:
        upgrade(database)
        client = Client(database)
        with database.connect() as conn:
            catalog = load_catalog()
            publish(conn, catalog, catalog.accounts, load_prices())
            for _ in range(backlog):
                client.generate(model=_MODEL, prompt="Count.", max_tokens=50)
            figures = _submissions(client) + _looks(conn)
        client.close()
        return figures
    finally:
        server.drop("route_cost")


def _submissions(client: Client) -> list[tuple[str, float]]:
    ways: dict[str, Callable[[], Any]] = {
        "by name": lambda: client.generate(model=_MODEL, prompt="Count.", max_tokens=50),
        "by route": lambda: client.generate(route=_ROUTE, prompt="Count.", max_tokens=50),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, submit in ways.items():
            times[name].append(_milliseconds(submit, _CALLS))
    return [(f"submission {name}", statistics.median(found)) for name, found in times.items()]


def _looks(conn: psycopg.Connection[Any]) -> list[tuple[str, float]]:
    conn.execute("UPDATE lmx.decisions SET again_at = now() WHERE again_at IS NOT NULL")
    many = _milliseconds(lambda: reroute_due(conn), 1)
    conn.execute("UPDATE lmx.decisions SET again_at = NULL")
    none = _milliseconds(lambda: reroute_due(conn), 200)
    return [("look, none due", none), ("look, at most 32 of those due", many)]


def _milliseconds(action: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) * 1000 / times


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.route_cost", description=__doc__)
    parser.add_argument("--backlog", type=int, default=500)
    arguments = parser.parse_args()
    with Server() as server, tempfile.TemporaryDirectory() as home:
        os.environ["LMX_HOME"] = home
        figures = measure(server, arguments.backlog)
    table = Table("what", title=f"beside {arguments.backlog} waiting calls", title_justify="left")
    table.add_column("ms", justify="right")
    for name, ms in figures:
        table.add_row(name, f"{ms:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
