"""Allowances as people write and read them."""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lmx.workflows.errors import InvalidInput
from lmx.workflows.money import USD, format_usd, parse_usd

UNITS: Final = ("usd", "tokens", "calls", "seconds")
SPANS: Final = ("day", "month", "total")


def parse_amount(unit: str, text: str) -> int:
    """Read an amount: dollars as nano-dollars, anything else as a whole number.

    Raises InvalidInput.
    """
    if unit not in UNITS:
        raise InvalidInput(f"{unit!r} is no unit of an allowance", hint=f"use {', '.join(UNITS)}")
    if unit == USD:
        return parse_usd(text)
    digits = text.strip().replace("_", "").replace(",", "")
    if not digits.isascii() or not digits.isdecimal() or int(digits[:20]) >= 2**63:
        raise InvalidInput(f"{text!r} is not an amount of {unit}", hint="write a whole number")
    return int(digits)


def amount_text(unit: str, amount: int) -> str:
    """An amount for reading: "$4.20", "12,000 tokens"."""
    return format_usd(amount) if unit == USD else f"{amount:,} {unit}"


def span_text(scope: str, per: str) -> str:
    """Whose an allowance is and for how long: "a day", "a month for anthropic/work"."""
    span = "in all" if per == "total" else f"a {per}"
    return span if scope == "*" else f"{span} for {scope}"


def until_text(per: str, zone: str, ends_at: float | None) -> str:
    """When a period ends, in its own zone: "; until 2026-11-22 00:00 UTC"."""
    if per == "total" or ends_at is None:
        return "; until it is raised"
    try:
        here: tzinfo = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # set on a machine that knows more zones
        here = UTC
    return f"; until {datetime.fromtimestamp(ends_at, here):%Y-%m-%d %H:%M %Z}"
