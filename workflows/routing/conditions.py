"""The `when` of a rule: an expression over a call's features, checked when it is read.

The language is that of the library rule-engine (docs/decisions/0010): comparisons, `and`, `or`,
`not`, `in`, `=~` for regular expressions, arithmetic, `labels["team"]`. It can neither call Python
nor loop for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lmx.workflows.errors import InvalidInput
from lmx.workflows.routing.features import Features


class BadCondition(InvalidInput):
    """An expression that cannot be read; `column` counts from 1, where it is known."""

    def __init__(self, reason: str, column: int | None = None) -> None:
        self.column = column
        super().__init__(reason if column is None else f"{reason} at column {column}")


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression."""

    text: str
    _rule: Any = field(repr=False, compare=False)

    def matches(self, features: Features) -> bool:
        """Whether the expression is true of a call; what it cannot be asked of does not match."""
        from rule_engine import EngineError

        try:
            return bool(self._rule.matches(features.as_json()))
        except EngineError:
            return False


def read_condition(text: str) -> Condition:
    """Check an expression: its grammar, the names in it, their types. Raises BadCondition."""
    from rule_engine import DataType, EngineError, Rule

    if "$" in text:
        raise BadCondition("a condition knows no '$' names: it depends on nothing but the call")
    try:
        rule = Rule(text, context=_context())
        kind = rule.statement.expression.result_type
    except EngineError as error:
        raise _explained(text, error) from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise BadCondition(f"it cannot be read: {error}") from None
    if kind != DataType.BOOLEAN:
        raise BadCondition("it is not a condition, which is true or false")
    return Condition(text, rule)


@cache
def _context() -> Any:
    from rule_engine import Context, DataType, type_resolver_from_dict

    kinds = {str: DataType.STRING, int: DataType.FLOAT, float: DataType.FLOAT}
    kinds[bool] = DataType.BOOLEAN
    types: dict[str, Any] = {
        name: kinds[type(value)]
        for name, value in Features(budget_usd=0.0, cost_usd=0.0).as_json().items()
        if type(value) in kinds
    }
    types["labels"] = DataType.MAPPING(DataType.STRING, DataType.STRING)
    return Context(type_resolver=type_resolver_from_dict(types), mapping_attribute_lookup=False)


def _explained(text: str, error: Any) -> BadCondition:
    """One line for what the library says."""
    token = getattr(error, "token", None)
    if (name := getattr(error, "symbol_name", None)) is not None:
        near = getattr(error, "suggestion", None)
        known = f"did you mean {near!r}?" if near else f"known: {', '.join(_names())}"
        return BadCondition(f"unknown name {name!r} ({known})", text.find(name) + 1)
    if token is not None:
        return BadCondition(f"{str(token.value)[:40]!r} is not expected", token.lexpos + 1)
    message = " ".join(str(getattr(error, "message", error)).split())
    if "MAPPING" in message:
        return BadCondition('a label is written as labels["name"]')
    if message.startswith("syntax error at: EOF"):
        return BadCondition("it ends too soon", len(text) + 1)
    return BadCondition(message)


def _names() -> list[str]:
    names: Mapping[str, Any] = Features().as_json()
    return sorted(names)
