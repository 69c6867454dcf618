"""Money is an integer of nano-dollars: 1 dollar = 1,000,000,000."""

from decimal import Decimal, InvalidOperation
from typing import Final

from lmx.workflows.errors import InvalidInput

NANO: Final = 1_000_000_000
#: The unit of budget rows that count money.
USD: Final = "usd"


def parse_usd(text: str) -> int:
    """Read dollars such as "0.05", "$2" or "1e-6" as nano-dollars.

    Raises InvalidInput for anything else, for negative amounts, and for fractions of a nano-dollar.
    """
    try:
        dollars = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise InvalidInput(f"{text!r} is not an amount of dollars", hint="write 0.05") from None
    if not dollars.is_finite() or dollars < 0:
        raise InvalidInput(f"{text!r} is not an amount of dollars", hint="it must be 0 or more")
    nano = dollars * NANO
    if nano != nano.to_integral_value() or nano >= 2**63:
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
