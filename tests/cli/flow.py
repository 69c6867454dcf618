"""A workflow for the workers of these tests, loaded by LMX_WORKFLOWS."""

from lmx.workflows.coordinators import Context
from lmx.workflows.registry import coordinator


@coordinator
def doubled(ctx: Context, number: int) -> int:
    """Return twice the number, recorded."""
    return ctx.step("double", lambda: 2 * number)
