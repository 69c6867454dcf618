"""Failures on demand: which requests fail, how, and how often."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = (
    "overloaded",
    "server_error",
    "rate_limited",
    "spend_cap",
    "billing",
    "refused",
    "unauthorized",
    "unknown_model",
    "too_long",
    "invalid",
    "malformed",
    "midstream",
    "lost",
    "hang",
    "stalled",
    "slow",
)
#: Those that a request meets only after it has been granted.
ON_THE_WAY: Final = ("malformed", "midstream", "lost", "hang", "stalled", "slow", "refused")
#: What single calls of batches meet.
IN_BATCHES: Final = ("batch_errored", "batch_invalid", "batch_expired")


@dataclass(slots=True)
class Fault:
    """Fails up to `count` requests (None: without end), each with probability `rate`.

    Only those whose model's name contains `model`. `says` is the error's text; {key} in it stands
    for the key that the request came with, which some servers quote.
    """

    kind: str
    count: int | None = 1
    rate: float = 1.0
    model: str = ""
    says: str = ""

    def __post_init__(self) -> None:
        known = (*KINDS, *IN_BATCHES)
        if self.kind not in known:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join(known)}")


@dataclass(slots=True)
class Faults:
    """The faults that are set; the first that applies to a request is taken."""

    seed: int = 0
    faults: list[Fault] = field(default_factory=list)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - chance must be repeatable

    def set(self, rows: list[Mapping[str, Any]]) -> None:
        """Replace all faults. Raises ValueError, TypeError for what is none."""
        self.faults = [Fault(**row) for row in rows]

    def words(self, kind: str, key: str) -> str:
        """What the error of a kind says."""
        says = next((fault.says for fault in self.faults if fault.kind == kind), "")
        plain = "prompt is too long" if kind == "too_long" else kind
        return says.replace("{key}", key) or f"{plain} (on demand)"

    def next(self, model: str, among: Collection[str] = KINDS) -> str | None:
        """The kind of failure that this request meets, if any, of those that it can meet."""
        for fault in self.faults:
            if fault.kind not in among:
                continue
            spent = fault.count is not None and fault.count <= 0
            if spent or fault.model not in model or self._random.random() >= fault.rate:
                continue
            if fault.count is not None:
                fault.count -= 1
            return fault.kind
        return None
