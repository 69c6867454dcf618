"""Rules in TOML: which calls they are for, and which models may take these, in which order.

    [[rule]]
    name = "short research"           # how explanations call it
    route = "research"                # or a list; without, the rule is for every route
    when = "prompt_tokens < 20000"   # without, for every call of the route
    models = ["gemini-*-flash", "local"]
    order = "listed"                  # or "price", or "wait": the least first
    max_wait = "30s"                  # rather another model than a longer wait
    max_cost = "0.05"                 # dollars, at the worst

Rules of `$LMX_HOME/routes.toml` come before the shipped ones; `shipped = false` at its top leaves
those out.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from lmx.workflows.errors import ConfigError, LmxError, NotFound
from lmx.workflows.money import parse_usd
from lmx.workflows.providers.toml import parse
from lmx.workflows.routing.conditions import BadCondition, Condition, read_condition
from lmx.workflows.routing.features import Features

FILE: Final = "routes.toml"
SHIPPED: Final = "shipped routes.toml"
ORDERS: Final = ("listed", "price", "wait")
_KEYS: Final = {"name", "route", "when", "models", "order", "divert", "max_wait", "max_cost"}
_HEAD: Final = re.compile(r"^\s*\[\[\s*rule\s*\]\]")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule asks of a model, beside being named. `max_cost` is in nano-dollars.

    With `divert` a model that would make the call wait for more than `max_wait_s`, or whose long
    window is crowded, is passed over for the next one.
    """

    order: str = "listed"
    divert: bool = False
    max_wait_s: float = 0.0
    max_cost: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. No `routes` means all; `source` is the file and the line where it begins."""

    name: str
    models: tuple[str, ...]
    terms: Terms = Terms()
    routes: tuple[str, ...] = ()
    when: Condition | None = None
    source: str = ""

    def matches(self, features: Features) -> bool:
        """Whether the rule is for this call."""
        if self.routes and features.route not in self.routes:
            return False
        return self.when is None or self.when.matches(features)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules in their order; `version` changes with their text."""

    rules: tuple[Rule, ...]
    version: str

    @property
    def routes(self) -> tuple[str, ...]:
        """The names that a call may ask for."""
        return tuple(dict.fromkeys(route for rule in self.rules for route in rule.routes))

    def match(self, features: Features) -> Rule:
        """The first rule that is for this call. Raises NotFound for an unknown route."""
        if features.route not in self.routes:
            raise NotFound(
                f"there is no route {features.route!r}",
                hint=f"known are {', '.join(self.routes)}; see `lmx route list`",
            )
        for rule in self.rules:
            if rule.matches(features):
                return rule
        raise NotFound(
            f"no rule of the route {features.route!r} matches this call",
            hint="add one without `when` at its end; see `lmx route list`",
        )


def load_rules(home: Path | None = None) -> Rules:
    """The rules of `home`/routes.toml, and then the shipped ones.

    Raises ConfigError: one line with the file, the line, the rule and what is wrong.
    """
    own = None if home is None else home / FILE
    if own is None or not own.exists():
        return read_rules("", "")
    try:
        return read_rules(own.read_text(encoding="utf-8"), str(own))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{own} cannot be read: {error}") from None


def check_rules(path: Path) -> Rules:
    """Read a file of rules as if it stood in LMX_HOME. Errors: as for `load_rules`."""
    try:
        return read_rules(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path} cannot be read: {reason}") from None


@lru_cache(maxsize=8)
def read_rules(text: str, source: str) -> Rules:
    """Read rules; the shipped ones follow unless the text says otherwise. Raises ConfigError."""
    table = parse(text, source) if text else {}
    if unknown := set(table) - {"rule", "shipped", "version"}:
        raise ConfigError(
            f"{source}: unknown key {min(unknown)!r}; known: rule, shipped, version",
        )
    with_shipped = table.get("shipped", True)
    if not isinstance(with_shipped, bool):
        raise ConfigError(f"{source}: shipped is true or false")
    rules = list(_rules(table, text, source))
    if with_shipped:
        shipped = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
        rules += _rules(parse(shipped, SHIPPED), shipped, SHIPPED)
        text += shipped
    _refuse_twins(rules)
    return Rules(tuple(rules), hashlib.sha256(text.encode()).hexdigest()[:12])


def _rules(table: Mapping[str, Any], text: str, source: str) -> Iterator[Rule]:
    rows = table.get("rule", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{source}: write rules as [[rule]] tables")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if _HEAD.match(line)]
    for place, row in enumerate(rows):
        at = f"{source}:{lines[place]}" if place < len(lines) else source
        name = row.get("name")
        called = f"rule {place + 1}" + (f" ({name})" if isinstance(name, str) else "")
        try:
            yield _rule(row, at)
        except BadCondition as error:
            raise ConfigError(f"{at}: {called}: when: {error.message}") from None
        except (LmxError, ValueError) as error:
            raise ConfigError(f"{at}: {called}: {error}") from None


def _rule(row: Mapping[str, Any], at: str) -> Rule:
    if unknown := set(row) - _KEYS:
        raise ValueError(f"unknown key {min(unknown)!r}; known: {', '.join(sorted(_KEYS))}")
    name, when = row.get("name"), row.get("when")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("it needs a name")
    if when is not None and not isinstance(when, str):
        raise ValueError("when is an expression in a text")
    models = _texts(row.get("models"), "models")
    routes = row.get("route", [])
    return Rule(
        name=name,
        models=models,
        terms=_terms(row),
        routes=_texts([routes] if isinstance(routes, str) else routes, "route", least=0),
        when=None if when is None else read_condition(when),
        source=at,
    )


def _terms(row: Mapping[str, Any]) -> Terms:
    order, divert = row.get("order", "listed"), row.get("divert", "max_wait" in row)
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it is one of {', '.join(ORDERS)}")
    if not isinstance(divert, bool):
        raise ValueError("divert is true or false")
    if "max_wait" in row and not divert:
        raise ValueError("max_wait means nothing without divert")
    cost = row.get("max_cost")
    if cost is not None and (isinstance(cost, bool) or not isinstance(cost, str | int)):
        raise ValueError('max_cost is an amount of dollars in a text: "0.05"')
    return Terms(
        order=order,
        divert=divert,
        max_wait_s=_duration(row.get("max_wait", "0s")),
        max_cost=None if cost is None else parse_usd(str(cost)),
    )


def _texts(value: Any, key: str, least: int = 1) -> tuple[str, ...]:
    good = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
    if not good or len(value) < least:
        raise ValueError(f"{key} is a list of names")
    return tuple(value)


def _duration(value: Any) -> float:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f'max_wait is {value!r}; write "500ms", "30s", "5min" or "2h"')
    return float(found[1]) * _SECONDS[found[2]]


def _refuse_twins(rules: Sequence[Rule]) -> None:
    """Two rules of one file must not have one name; a user's rule may have a shipped one's."""
    seen: set[tuple[str, str]] = set()
    for rule in rules:
        known = (rule.source.rpartition(":")[0], rule.name)
        if known in seen:
            raise ConfigError(f"{rule.source}: there are two rules called {rule.name!r}")
        seen.add(known)


def describe(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Rules as rows for people and programs."""
    return [
        {
            "rule": rule.name,
            "routes": list(rule.routes),
            "when": rule.when.text if rule.when else None,
            "models": list(rule.models),
            "order": rule.terms.order,
            "max_wait_s": rule.terms.max_wait_s if rule.terms.divert else None,
            "max_cost_nano_usd": rule.terms.max_cost,
            "source": rule.source,
        }
        for rule in rules
    ]
