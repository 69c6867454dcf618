"""Command line: `python -m benchmarks.engine --help`, `make bench-engine`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.engine import (
    booked,
    chat,
    decode,
    gaps,
    loading,
    overhead,
    streaming,
    swap,
    table,
    three_models,
)
from benchmarks.engine.settings import Settings
from benchmarks.engine.yardsticks import Yardsticks, build

_WIDTH = 160
_MEASUREMENTS: dict[str, Callable[[Settings, Yardsticks], list[table.Row]]] = {
    "decode": decode.measure,
    "chat": chat.measure,
    "swap": swap.measure,
    "streaming": streaming.measure,
    "three-models": three_models.measure,
    "bytes": booked.measure,
    "overhead": overhead.measure,
    "loading": loading.measure,
    "gaps": gaps.measure,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("--only", metavar="A,B", help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--clock", choices=("cpu", "wall"), help="cpu, unless there are threads")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="show this JSON")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",") if arguments.only else list(_MEASUREMENTS)
    if unknown := set(arguments.only) - set(_MEASUREMENTS):
        parser.error(f"no measurement {', '.join(sorted(unknown))}")
    return arguments


def main() -> int:
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    rows = table.load(arguments.source) if arguments.source else _measure(arguments)
    if arguments.markdown:
        print(table.markdown(rows))
    else:
        table.show(rows, console)
    return 1 if any(row.passed is False for row in rows) else 0


def _measure(arguments: argparse.Namespace) -> list[table.Row]:
    progress = Console(stderr=True, highlight=False)
    quick = arguments.quick
    settings = Settings(
        threads=arguments.threads,
        clock=arguments.clock or ("cpu" if arguments.threads == 1 else "wall"),
        rounds=arguments.rounds or (3 if quick else 7),
        tokens=24 if quick else 96,
        quick=quick,
        say=lambda line: progress.print(line, style="dim"),
    )
    yardsticks = build()
    rows: list[table.Row] = []
    for name in arguments.only:
        rows += _MEASUREMENTS[name](settings, yardsticks)
        if arguments.json:
            table.save(rows, settings, arguments.json)
    return rows


if __name__ == "__main__":
    sys.exit(main())
