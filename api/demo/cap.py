"""How small the demo's device is."""

from collections.abc import Sequence
from itertools import combinations

from lmx.workflows.errors import InvalidInput


def choose_cap(needs: Sequence[int]) -> int:
    """Return a cap in bytes under which any two of the needs fit together, but never all three.

    It lies in the middle between the largest pair and the sum of all, so that neither hangs on a
    byte. Raises InvalidInput unless there are three needs above 0.
    """
    if len(needs) != 3 or min(needs) <= 0:
        raise InvalidInput("the demo needs three models, each with a need of memory")
    pair = max(sum(two) for two in combinations(needs, 2))
    return (pair + sum(needs)) // 2
