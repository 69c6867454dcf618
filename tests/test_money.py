"""Money is counted exactly, in nano-dollars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.errors import InvalidInput
from lmx.workflows.money import NANO, format_usd, parse_usd, price


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0.05", 50_000_000), ("$2", 2 * NANO), (" 1e-6 ", 1000), ("0", 0), ("0e-999999999", 0)],
)
def test_dollars_are_read(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five",
        "-1",
        "nan",
        "inf",
        "1e10",
        "1e999999999",
        "1e-999999999",
        "0.0000000001",
        f"0.05{'0' * 40}1",
        "9" * 5000,
    ],
)
def test_what_cannot_be_counted_is_refused_in_one_short_line(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_usd(text)
    assert len(str(refusal.value)) < 200


@given(st.integers(0, 2**63 - 1))
def test_what_is_written_is_read_back(nano: int) -> None:
    assert parse_usd(format_usd(nano)) == nano


def test_a_price_is_rounded_up() -> None:
    assert [price(tokens, 1) for tokens in (0, 1, 1_000_000, 1_000_001)] == [0, 1, 1, 2]
