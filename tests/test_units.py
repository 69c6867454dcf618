"""Amounts of memory, read and written; spans of time, read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.units import format_bytes, parse_bytes, parse_span


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1048576", 1 << 20),
        ("400MiB", 400 << 20),
        ("400 mib", 400 << 20),
        ("2G", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("2GB", 2_000_000_000),
        ("0", 0),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "4 apples", "-1GiB", "1e9", "MiB", "1.GiB", "1,5G"])
def test_anything_else_is_refused_with_an_example_of_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="such as 400MiB") as refusal:
        parse_bytes(text)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (400 << 20, "400 MiB"),
        (96_576_768, "92.1 MiB"),
        (-1024, "-1 KiB"),
    ],
)
def test_amounts_are_shown_in_binary_units(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(min_value=0, max_value=1 << 60))
def test_what_is_shown_can_be_read_back_within_its_rounding(count: int) -> None:
    assert abs(parse_bytes(format_bytes(count)) - count) <= count * 0.05 + 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("12h", 43_200), ("7d", 604_800), (" 0s ", 0)]
)
def test_spans_of_time_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "1w", "9999999s", "٣d"])
def test_any_other_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write 90m, 12h or 7d"):
        parse_span(text)
