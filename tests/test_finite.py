"""What JSON cannot hold is found and named wherever the encoder would write null for it."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.errors import InvalidInput
from lmx.workflows.operations import encode
from lmx.workflows.submission import encode_input

NAN, INF = math.nan, math.inf


@dataclass
class Score:
    """A value of the user's own type."""

    value: float


class Level(Enum):
    """An enumeration of numbers."""

    NONE = -INF


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (NAN, "contains nan,"),
        ([0.5, None, INF], r"inf at \[2\],"),
        ({"a": {"b": (1, -INF)}}, r"-inf at a.b\[1\],"),
        ({NAN: 1}, "the key nan,"),
        (Score(NAN), "nan at value,"),
        ([Level.NONE], r"-inf at \[0\],"),
    ],
)
def test_what_is_not_finite_is_refused_and_located(value: Any, found: str) -> None:
    with pytest.raises(InvalidInput, match=found):
        encode_input(value, "the result")


FINITE = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.booleans()


@given(st.recursive(FINITE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_finite_passes_as_it_is(value: Any) -> None:
    if "\\u0000" not in encode(value):
        assert encode_input(value) == encode(value)
