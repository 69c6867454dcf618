"""Money is an integer of nano-dollars: 1 dollar = 1,000,000,000."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from lmx.workflows.errors import InvalidInput

NANO: Final = 1_000_000_000
#: The unit of budget rows that count money.
USD: Final = "usd"
#: The longest text that is read as an amount.
MAX_DIGITS: Final = 60


def parse_usd(text: str) -> int:
    """Read dollars such as "0.05", "$2" or "1e-6" as nano-dollars.

    Raises InvalidInput for anything else, for negative amounts, and for fractions of a nano-dollar.
    """
    given = text.strip().removeprefix("$")
    try:
        dollars = Decimal(given if len(given) <= MAX_DIGITS else "")
    except InvalidOperation:
        shown = text if len(text) <= MAX_DIGITS else f"{text[:MAX_DIGITS]}..."
        raise InvalidInput(f"{shown!r} is not an amount of dollars", hint="write 0.05") from None
    if not dollars.is_finite() or dollars < 0:
        raise InvalidInput(f"{text!r} is not an amount of dollars", hint="it must be 0 or more")
    # The exponent is looked at first: a fraction of "1e-999999999" would fill the memory.
    countable = not dollars or -9 <= dollars.adjusted() <= 9
    nano = Fraction(dollars) * NANO if countable else Fraction(1, 2)
    if nano.denominator != 1 or nano >= 2**63:
        raise InvalidInput(f"{text!r} cannot be counted in nano-dollars")
    return int(nano)


def format_usd(nano: int) -> str:
    """Write nano-dollars as dollars: at least two decimals, and as many as the amount needs."""
    sign = "-" if nano < 0 else ""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole}.{decimals}"


def price(tokens: int, nano_per_million: int) -> int:
    """What `tokens` cost at a price per million tokens, in nano-dollars, rounded up."""
    return -(-tokens * nano_per_million // 1_000_000)
