"""What calls cost, in nano-dollars: a versioned table with effective dates and prompt bands."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import inf
from pathlib import Path
from typing import Any, Final

from lmx.workflows.errors import ConfigError, NotFound
from lmx.workflows.money import parse_usd, price
from lmx.workflows.providers import toml
from lmx.workflows.providers.catalog import load_catalog

_FILE: Final = "prices.toml"
#: A call that is queued now may run when another price holds. Later than this it is not looked at.
_HORIZON: Final = timedelta(days=31)
#: Every kind of token is rounded up by itself.
_ROUNDINGS: Final = 5
_KNOWN: Final = {
    "model",
    "since",
    "up_to",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "batch",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used. The parts of the prompt add up; `output` includes reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0

    @property
    def prompt(self) -> int:
        """All tokens of the prompt, cached or not: what decides the band."""
        return self.input + self.cache_read + self.cache_write + self.cache_write_1h


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-dollars per million tokens, from `since` on, for prompts of up to `up_to` tokens."""

    model: str
    since: date
    up_to: float
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    batch: Decimal

    def cost(self, used: Tokens, *, batch: bool = False) -> int:
        """What a call cost, each kind of token rounded up to a nano-dollar."""
        parts = (
            (used.input, self.input),
            (used.output, self.output),
            (used.cache_read, self.cache_read),
            (used.cache_write, self.cache_write),
            (used.cache_write_1h, self.cache_write_1h),
        )
        return self.in_batch(sum(price(tokens, nano) for tokens, nano in parts), batch)

    def in_batch(self, full: int, batch: bool) -> int:
        """What so many nano-dollars are if the call is part of a batch."""
        return -int(-full * self.batch // 1) if batch else full

    @property
    def dearest_input(self) -> int:
        """What a token of the prompt costs at the most."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h)


@dataclass(frozen=True, slots=True)
class Prices:
    """All prices of a version."""

    version: str
    rows: Sequence[Price]

    def find(self, model: str, prompt: int, at: datetime) -> Price:
        """The price of a call with so many prompt tokens. Raises NotFound for unknown models."""
        rows = [row for row in self.rows if row.model == model and row.up_to >= prompt]
        begun = [row for row in rows if row.since <= at.astimezone(UTC).date()]
        if not begun:
            raise NotFound(
                f"the price of {model!r} is not known",
                hint="add it to prices.toml in LMX_HOME",
            )
        narrowest = min(row.up_to for row in begun)
        return max((row for row in begun if row.up_to == narrowest), key=lambda row: row.since)

    def worst_case(
        self, model: str, prompt: int, output: int, at: datetime, *, batch: bool = False
    ) -> int:
        """The most that a call can cost whose prompt and output have at most so many tokens.

        Over every band that a shorter prompt falls into, and every price that begins soon.
        """
        today = at.astimezone(UTC).date()
        self.find(model, prompt, at)
        dates = {row.since for row in self.rows if today < row.since <= today + _HORIZON}
        times = [at, *(datetime(day.year, day.month, day.day, tzinfo=UTC) for day in dates)]
        lengths = {row.up_to for row in self.rows if row.model == model and row.up_to < prompt}
        return max(
            row.in_batch(
                price(length, row.dearest_input) + price(output, row.output) + _ROUNDINGS, batch
            )
            for length in {prompt, *(int(length) for length in lengths)}
            for row in (self.find(model, length, time) for time in times)
        )


def load_prices(home: Path | None = None) -> Prices:
    """The shipped prices, with those of `home`/prices.toml in place of the same model's.

    A model of a server in one's own network costs nothing unless a price says so. Raises
    ConfigError, naming the file and the row.
    """
    table = toml.shipped(_FILE)
    rows = list(_prices(toml.rows(table, "price", _FILE), _FILE))
    own = toml.own(home, _FILE)
    source = str(home / _FILE) if home else _FILE
    own_rows = list(_prices(toml.rows(own, "price", source), source))
    replaced = {row.model for row in own_rows}
    rows += _free(home, replaced)
    if not own:
        return Prices(table["version"], rows)
    kept = [row for row in rows if row.model not in replaced]
    version = f"{table['version']} + {own.get('version', 'unnamed')}"
    return Prices(version, [*kept, *own_rows])


def _free(home: Path | None, priced: Collection[str]) -> Iterable[Price]:
    """Prices of nothing, for what runs on machines of one's own."""
    for account in load_catalog(home).accounts if home else ():
        for model in account.models if account.at_home else ():
            if model.id not in priced:
                yield Price(model.id, date(2000, 1, 1), inf, 0, 0, 0, 0, 0, Decimal(1))


def _prices(rows: Iterable[Mapping[str, Any]], source: str) -> Iterable[Price]:
    for place, row in enumerate(rows, start=1):
        try:
            yield _price(row)
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
            raise ConfigError(f"{source}: price {place} cannot be used: {reason}") from None


def _price(row: Mapping[str, Any]) -> Price:
    if unknown := set(row) - _KNOWN:
        raise ValueError(f"unknown key {min(unknown)!r}; known: {', '.join(sorted(_KNOWN))}")
    since, up_to = row["since"], row.get("up_to", inf)
    if not isinstance(since, date) or isinstance(since, datetime):
        raise ValueError("since must be a date such as 2026-01-31")
    if not isinstance(up_to, int | float) or not up_to > 0:
        raise ValueError("up_to must be a number of tokens above 0")

    def nano(key: str, otherwise: str) -> int:
        return parse_usd(str(row.get(key, row[otherwise])))

    batch = Decimal(str(row.get("batch", "1")))
    if not 0 < batch <= 1:
        raise ValueError("batch must be a factor from 0 to 1")
    return Price(
        model=str(row["model"]),
        since=since,
        up_to=up_to,
        input=nano("input", "input"),
        output=nano("output", "output"),
        cache_read=nano("cache_read", "input"),
        cache_write=nano("cache_write", "input"),
        cache_write_1h=nano("cache_write_1h", "input"),
        batch=batch,
    )
