"""Functions for the workers of these tests, loaded by LMX_WORKFLOWS."""

import os
import time
from pathlib import Path

from lmx.workflows.coordinators import Context
from lmx.workflows.registry import coordinator, worker


@worker
def double(number: int) -> int:
    """Return twice the number."""
    return 2 * number


@worker
def behind_gate(folder: str) -> int:
    """Note this process's pid in `began`, then return it when `gate` exists."""
    with Path(folder, "began").open("a", encoding="ascii") as began:
        began.write(f"{os.getpid()}\n")
    while not Path(folder, "gate").exists():
        time.sleep(0.02)
    return os.getpid()


@coordinator
def doubled_behind_gate(ctx: Context, number: int, folder: str) -> list[int]:
    """Record a step, double the number in a child, and pass the gate in another."""
    first = ctx.step("first", _note, folder, number)
    twice = ctx.gather(ctx.spawn(double, first))
    ctx.gather(ctx.spawn(behind_gate, folder))
    return [first, *twice]


def _note(folder: str, number: int) -> int:
    with Path(folder, "steps").open("a", encoding="ascii") as steps:
        steps.write("first\n")
    return number
