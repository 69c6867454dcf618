"""How many tokens calls really use, beside what they may use at the most.

Before a call only bounds are known: its bytes for the input, `max_tokens` for the output. A pool
learns what share of its bounds its calls use, by decaying sums, and charges the next ones by that.
"""

from collections.abc import Mapping
from math import ceil
from typing import Final

#: Per dimension: the decayed sums of what was used, and of the bounds.
Learnt = Mapping[str, tuple[float, float]]

_LEARNT: Final = ("input_tokens", "output_tokens")
#: What a sum keeps at each call: about the last fifty calls count.
_KEEPS: Final = 0.98
#: The first calls are averaged with so many that would use all they may.
_PRIOR: Final = 2


def expected(learnt: Learnt, bounds: Mapping[str, int]) -> dict[str, int]:
    """What a call with these bounds is expected to use; before anything is learnt, all of it."""
    return {of: _expected(learnt, of, bound) for of, bound in bounds.items()}


def _expected(learnt: Learnt, of: str, bound: int) -> int:
    used, bounds = learnt.get(of, (1.0, 1.0))
    return min(bound, ceil(bound * used / bounds)) if bounds > 0 else bound


def learn(learnt: Learnt, bounds: Mapping[str, int], real: Mapping[str, int]) -> Learnt:
    """Take in what a call has used."""
    news = {}
    for of in _LEARNT:
        if of in bounds and of in real:
            used, bound = learnt.get(of, (_PRIOR * bounds[of], _PRIOR * bounds[of]))
            news[of] = (used * _KEEPS + real[of], bound * _KEEPS + bounds[of])
    return {**learnt, **news}
