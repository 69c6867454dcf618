"""Command line of the benchmarks; `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.adapters import SYSTEMS
from benchmarks.runner import Plan, run
from benchmarks.server import Server
from benchmarks.workloads import WORKLOADS

_DEFAULT_ROUNDS = 3
_PAGE_WIDTH = 120


def _names(known: tuple[str, ...], what: str) -> type[list[str]]:
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"no {what} {', '.join(unknown)}; known: {', '.join(known)}"
            )
        return names

    return parse  # type: ignore[return-value]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--systems", type=_names(SYSTEMS, "system"), default=list(SYSTEMS), metavar="A,B"
    )
    parser.add_argument(
        "--workloads",
        type=_names(tuple(WORKLOADS), "workload"),
        default=list(WORKLOADS),
        metavar="A,B",
    )
    parser.add_argument("--rounds", type=int, default=_DEFAULT_ROUNDS, metavar="N")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the sizes of all rounds")
    parser.add_argument(
        "--defaults", action="store_true", help="run the peers at their default settings too"
    )
    parser.add_argument("--no-counts", action="store_true", help="skip the counting rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything here")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    plan = Plan(
        workloads=[WORKLOADS[name] for name in arguments.workloads],
        systems=arguments.systems,
        rounds=arguments.rounds,
        defaults=arguments.defaults,
        counts=not arguments.no_counts,
        scale=arguments.scale,
    )
    # An exit and not a death, so that the server and the workers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Console(stderr=True, highlight=False)
    with Server() as server:
        results = run(server, plan, lambda line: progress.print(line, style="dim"))
        version = server.version()
    width = None if sys.stdout.isatty() else _PAGE_WIDTH
    report.show(results, plan.workloads, Console(width=width))
    if arguments.json:
        report.save(results, plan, version, arguments.json)
    return 1 if any(result.error for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
