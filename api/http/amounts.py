"""Amounts in requests and answers: money is a decimal string of dollars, all else an integer."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from lmx.workflows.errors import InvalidInput
from lmx.workflows.money import NANO, USD, parse_usd

_MOST = 2**63 - 1


def dollars(nano: int) -> str:
    """Write nano-dollars as a decimal string of dollars: 50000000 is "0.05"."""
    return f"{Decimal(nano) / NANO:f}" if nano else "0"


def amount_of(unit: str, amount: int) -> int | str:
    """Write an amount of a budget as the API shows it."""
    return dollars(amount) if unit == USD else amount


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A model call's usage, its cost in dollars instead of nano-dollars."""
    if usage is None:
        return None
    cost = usage.get("cost")
    return {**usage, "cost": dollars(cost)} if isinstance(cost, int) else dict(usage)


def _read_budget(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    return {unit: _read_amount(unit, amount) for unit, amount in given.items()}


def _read_amount(unit: Any, amount: Any) -> int:
    if unit == USD:
        if not isinstance(amount, str):
            raise ValueError('usd must be a string of dollars, such as "0.05"')
        try:
            return parse_usd(amount)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 <= amount <= _MOST:
        raise ValueError(f"{unit} must be a whole number of 0 or more")
    return amount


#: A budget in a request, read into integers: the unit "usd" into nano-dollars.
Budget = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], int],
    BeforeValidator(_read_budget),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "description": 'What may be spent, by unit. "usd" is a decimal string of dollars;'
            " other units are whole numbers.",
            "examples": [{"usd": "0.05"}],
        }
    ),
]
