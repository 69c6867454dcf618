"""What the provider knows of its customers: keys, pools with their meters, counts of everything."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lmx.api.rehearsal.meters import ExactWindow, Meter, PacificDay, TokenBucket

DIMENSIONS: Final = ("requests", "input_tokens", "output_tokens", "usd")


@dataclass(slots=True)
class Refusal:
    """Which limit a request met, and when it would fit."""

    limit: str
    of: str
    granted: float
    retry_after: float


@dataclass(slots=True)
class ServedPool:
    """The meters of one model group, and what went through it; `shared` are its project's."""

    name: str
    shared: "ServedPool | None" = None
    meters: dict[str, tuple[str, Meter]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def admit(self, now: float, amounts: Mapping[str, float]) -> Refusal | None:
        """Count a request, or say which limit it meets, its own or its project's."""
        parts = [self] if self.shared is None else [self, self.shared]
        for part in parts:
            if refusal := part.refusal(now, amounts):
                self.counts["refused"] += 1
                self.counts[f"refused: {refusal.limit}"] += 1
                return refusal
        for part in parts:
            part.take(now, amounts)
        return None

    def refusal(self, now: float, amounts: Mapping[str, float]) -> Refusal | None:
        """Which of its own limits a request meets."""
        for name, (of, meter) in self.meters.items():
            # Output is metered as it is produced: a request needs only some room for it. So with
            # money, which is known when the answer is.
            wanted = 1.0 if of in ("output_tokens", "usd") else amounts.get(of, 0.0)
            if meter.room(now) < wanted:
                return Refusal(name, of, meter.limit, meter.retry_after(now, max(1.0, wanted)))
        return None

    def take(self, now: float, amounts: Mapping[str, float]) -> None:
        """Count a request that is granted."""
        for of, meter in self.meters.values():
            if of != "output_tokens" and of in amounts:
                meter.take(now, amounts[of])
        self._count(now, "requests", 1)
        self._count(now, "input_tokens", int(amounts.get("input_tokens", 0)))

    def produced(self, now: float, tokens: int, nano: int) -> None:
        """Count output as it is made, and the dollars of a whole answer."""
        for of, meter in self.meters.values():
            if of == "output_tokens":
                meter.take(now, tokens)
            elif of == "usd" and nano:
                meter.take(now, nano)
        self._count(now, "output_tokens", tokens)
        self._count(now, "usd", nano)
        if self.shared is not None:
            self.shared.produced(now, tokens, nano)

    def _count(self, now: float, of: str, amount: int) -> None:
        self.counts[of] += amount
        self.seconds[of][int(now)] += amount

    def told(self) -> dict[str, Any]:
        """The counts, for whoever asks."""
        return {"pool": self.name, "counts": dict(self.counts)}

    def log(self) -> dict[str, Any]:
        """The counts of each dimension in every second of the provider's clock."""
        return {"pool": self.name, "seconds": self.seconds}


def meters_of(rows: list[Mapping[str, Any]]) -> dict[str, tuple[str, Meter]]:
    """Meters from rows {name, of, kind, limit, period_s?}; kinds: bucket, window, day."""
    return {row["name"]: (row["of"], _meter(row)) for row in rows if row["kind"] != "share"}


def _meter(row: Mapping[str, Any]) -> Meter:
    limit = float(row["limit"])
    match row["kind"]:
        case "bucket":
            return TokenBucket(limit, float(row.get("period_s", 60.0)))
        case "window":
            return ExactWindow(limit, float(row.get("period_s", 60.0)))
        case "day":
            return PacificDay(limit)
        case kind:
            raise ValueError(f"a limit of kind {kind!r} cannot be served")
