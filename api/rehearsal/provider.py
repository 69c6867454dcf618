"""The provider behind the wires: admits a request, answers at a model's pace, counts it all."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lmx.api.rehearsal.account import Refusal, ServedPool, meters_of
from lmx.api.rehearsal.clock import Clock
from lmx.api.rehearsal.faults import ON_THE_WAY, Faults
from lmx.api.rehearsal.tools import FREE, Form

#: Letters of one token, for this provider.
_LETTERS: Final = 4
_WORDS: Final = ("the", "tide", "keeps", "its", "own", "slow", "count", "of", "every", "stone")


def count_tokens(text: str) -> int:
    """How many tokens a text is."""
    return max(1, -(-len(text) // _LETTERS))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model answers, on the provider's clock; lengths are shares of max_tokens."""

    first_token_s: float = 0.4
    tokens_per_s: float = 80.0
    shortest: float = 0.05
    longest: float = 0.4


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model: where it counts, how fast it is, what it costs (nano-dollars per million)."""

    name: str
    pool: str
    pace: Pace = Pace()
    input_nano: int = 0
    output_nano: int = 0


@dataclass(slots=True)
class Asked:
    """A request as every wire has it. `extra` are the tokens of its images and files."""

    model: str
    text: str
    max_tokens: int
    key: str
    extra: int = 0
    form: Form = FREE

    @property
    def tokens(self) -> int:
        """How many tokens it is."""
        return count_tokens(self.text) + self.extra


@dataclass(frozen=True, slots=True)
class Rejected(Exception):  # noqa: N818 - it says what happened
    """The request is not served: `kind` is a fault's, or unauthorized, unknown_model, too_long,
    invalid, rate_limited."""

    kind: str
    message: str
    refusal: Refusal | None = None


@dataclass(slots=True)
class Answering:
    """A granted request: its tokens, as text, come at the model's pace."""

    model: ServedModel
    input_tokens: int
    output_tokens: int
    fault: str | None = None
    produced: int = 0
    form: Form = FREE


@dataclass(slots=True)
class FaithfulProvider:
    """Keys, models and pools, and the clock by which they are served."""

    clock: Clock
    keys: set[str]
    models: dict[str, ServedModel]
    pools: dict[str, ServedPool]
    faults: Faults = field(default_factory=Faults)
    context: int = 200_000
    admin_keys: set[str] = field(default_factory=set)
    _random: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311

    def admit(self, asked: Asked) -> Answering:
        """Grant a request. Raises Rejected."""
        self.check_key(asked.key)
        model, tokens = self._understood(asked)
        pool = self.pools[model.pool]
        amounts = {"requests": 1.0, "input_tokens": float(tokens), "usd": 0.0}
        if refusal := pool.admit(self.clock.now(), amounts):
            raise Rejected("rate_limited", f"{refusal.limit} exceeded", refusal)
        fault = self.faults.next(asked.model)
        if fault:
            pool.counts[f"fault: {fault}"] += 1
        if fault not in (None, *ON_THE_WAY):
            raise Rejected(fault, self.faults.words(fault, asked.key))
        return self._answering(model, tokens, asked, fault)

    def check_key(self, key: str) -> None:
        """Raises Rejected for a key that is none."""
        if key not in self.keys:
            raise Rejected("unauthorized", f"invalid key: {key}")

    def answer(self, asked: Asked) -> tuple[Answering, str]:
        """A whole answer, which no limit is asked for; it is not billed. Raises Rejected."""
        answering = self._answering(*self._understood(asked), asked, None)
        answering.produced = answering.output_tokens
        return answering, _piece(answering, 0, answering.output_tokens)

    def _understood(self, asked: Asked) -> tuple[ServedModel, int]:
        model = self.models.get(asked.model)
        if model is None:
            raise Rejected("unknown_model", f"model: {asked.model}")
        tokens = asked.tokens
        if tokens > self.context:
            raise Rejected("too_long", f"prompt is too long: {tokens} tokens > {self.context}")
        return model, tokens

    def _answering(
        self, model: ServedModel, tokens: int, asked: Asked, fault: str | None
    ) -> Answering:
        longest = max(1, int(asked.max_tokens * model.pace.longest))
        shortest = max(1, int(asked.max_tokens * model.pace.shortest))
        length = self._random.randint(min(shortest, longest), longest)
        if asked.form.text is not None:
            length = count_tokens(asked.form.text)
        return Answering(model, tokens, length, fault, form=asked.form)

    async def produce(self, answering: Answering) -> AsyncIterator[str]:
        """The pieces of the answer, each at its time; they are counted and billed as they come."""
        model, pool = answering.model, self.pools[answering.model.pool]
        began = self.clock.now() + model.pace.first_token_s
        await self.clock.sleep_until(began)
        step = max(1, int(model.pace.tokens_per_s * 0.05 * self.clock.speed))
        nano = -(-answering.input_tokens * model.input_nano // 1_000_000)
        while answering.produced < answering.output_tokens:
            count = min(step, answering.output_tokens - answering.produced)
            due = began + (answering.produced + count) / model.pace.tokens_per_s
            await self.clock.sleep_until(due)
            answering.produced += count
            nano += -(-count * model.output_nano // 1_000_000)
            pool.produced(self.clock.now(), count, nano)
            nano = 0
            yield _piece(answering, answering.produced - count, count)

    def told(self) -> dict[str, Any]:
        """All counts, and the time on the provider's clock."""
        return {
            "now": self.clock.now(),
            "speed": self.clock.speed,
            "pools": [pool.told() for pool in self.pools.values()],
        }

    def log(self) -> list[dict[str, Any]]:
        """What each pool has counted, second by second."""
        return [pool.log() for pool in self.pools.values()]


def build(
    profile: Mapping[str, Any], clock: Clock, nano_price: Callable[[str], tuple[int, int]]
) -> FaithfulProvider:
    """A provider from a profile: keys, pools with limits, models with their pace.

    `nano_price` gives a model's prices for input and output. Raises ValueError.
    """
    shared = {
        name: ServedPool(name, meters=meters_of(list(row.get("limits", ()))))
        for name, row in profile.get("shared", {}).items()
    }
    pools = {
        name: ServedPool(
            name, shared.get(row.get("shared")), meters_of(list(row.get("limits", ())))
        )
        for name, row in profile["pools"].items()
    }
    models = {}
    for name, row in profile["models"].items():
        pace = {key: float(row[key]) for key in Pace.__slots__ if key in row}
        models[name] = ServedModel(name, row["pool"], Pace(**pace), *nano_price(name))
    admins = set(profile.get("admin_keys", ()))
    return FaithfulProvider(clock, set(profile["keys"]), models, pools, admin_keys=admins)


def _piece(answering: Answering, start: int, tokens: int) -> str:
    """So many tokens of an answer, from that one on."""
    if answering.form.text is None:
        return _words(tokens)
    return answering.form.text[start * _LETTERS : (start + tokens) * _LETTERS]


def _words(tokens: int) -> str:
    """A text of exactly so many tokens."""
    text = " ".join(_WORDS[n % len(_WORDS)] for n in range(tokens * _LETTERS // 2 + 1))
    return (text + " ")[: tokens * _LETTERS]
