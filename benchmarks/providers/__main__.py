"""`python -m benchmarks.providers`: lmx and LiteLLM's Router on the same faithful provider.

Limits: sixteen callers, two models with 60 requests a minute each, one metered as a bucket and one
as a window, in real time. Budget: one dollar, 64 callers, calls of about a cent. All numbers but
the answers are the provider's own.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.providers import contest
from benchmarks.providers.contest import Kept, Spent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.providers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of each contest of limits")
    parser.add_argument("--only", choices=("limits", "budget"), help="one of the two")
    asked = parser.parse_args()
    if not contest.PYTHON.exists():
        print("LiteLLM is not installed: run benchmarks/providers/setup.sh", file=sys.stderr)
        return 1
    failed = False
    if asked.only != "budget":
        kept = [
            contest.lmx_limits(asked.minutes),
            contest.litellm_limits(asked.minutes, checks=False),
            contest.litellm_limits(asked.minutes, checks=True),
        ]
        show_limits(kept)
        failed |= kept[0].refused > 0 or kept[0].share < 0.95
    if asked.only != "limits":
        spent = [contest.lmx_budget(), contest.litellm_budget()]
        show_budget(spent)
        failed |= spent[0].over > 0
    return int(failed)


def show_limits(kept: Sequence[Kept]) -> None:
    table = _table("16 callers", "answered", "429s", "share of the limit")
    for one in kept:
        table.add_row(one.system, str(one.answered), str(one.refused), f"{one.share:.1%}")
    Console(width=110).print(table)


def show_budget(spent: Sequence[Spent]) -> None:
    table = _table("a budget of $1, 64 at once", "requests", "billed", "overspent")
    for one in spent:
        table.add_row(one.system, str(one.answered), f"${one.billed:.4f}", f"${one.over:.4f}")
    Console(width=110).print(table)


def _table(name: str, *headings: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column(name)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


if __name__ == "__main__":
    sys.exit(main())
