"""What a submission says, checked and made ready for the enqueue statements."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypedDict

from lmx.workflows.errors import InvalidInput, TooLarge
from lmx.workflows.finite import not_finite
from lmx.workflows.operations import encode

#: The largest input of one task, in bytes of JSON.
MAX_INPUT_BYTES: Final = 32 * 1024 * 1024
MAX_PRIORITY: Final = 1000
MAX_SECONDS: Final = 10 * 365 * 86_400.0

Budgets = Mapping[str, int]


class TaskOptions(TypedDict, total=False):
    """What a single task may be told, by name; `Options` has the meanings and the defaults."""

    queue: str | None
    priority: int
    delay: float | None
    max_attempts: int | None
    time_limit: float | None
    timeout: float | None


class RunOptions(TypedDict, total=False):
    """What a run may be told, by name; `Options` has the meanings and the defaults."""

    weight: float
    nesting: int
    budget: Budgets | None
    priority: int
    delay: float | None
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Options:
    """How a task is to be run. Times are in seconds; `budget` maps units to integer amounts."""

    queue: str | None = None
    priority: int = 0
    delay: float | None = None
    max_attempts: int | None = None
    time_limit: float | None = None
    timeout: float | None = None
    budget: Budgets | None = None
    weight: float = 1.0
    nesting: int = 0

    def last(self) -> "Options":
        """The same, after all that is not as patient."""
        return replace(self, priority=-MAX_PRIORITY)

    def check(self) -> None:
        """Raise InvalidInput, naming the option, for a value that cannot be meant."""
        _within("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        _within("delay", self.delay, 0, MAX_SECONDS)
        _within("max_attempts", self.max_attempts, 1, 1000)
        _within("time_limit", self.time_limit, 0.001, 2_000_000)
        _within("timeout", self.timeout, 0.001, MAX_SECONDS)
        _within("weight", self.weight, 0.001, 1_000_000)
        _within("nesting", self.nesting, 0, 100)
        for unit, amount in (self.budget or {}).items():
            _whole(f"the budget in {unit}", amount)
            _within(f"the budget in {unit}", amount, 0, 2**63 - 1)


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        hint = f"it must be from {in_full(low)} to {in_full(high)}"
        raise InvalidInput(f"{name} is {value}", hint=hint)


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(
            f"{name} is {value!r}", hint="it must be a whole number (of nano-dollars for usd)"
        )


def in_full(number: float) -> str:
    """A bound as a person writes it: 4294967295, not 4.29497e+09."""
    return f"{number:.0f}" if number == int(number) else f"{number:g}"


def encode_input(value: Any, what: str = "the input") -> str:
    """Encode a JSON value that a task carries; `what` names it in errors.

    Raises TooLarge, or InvalidInput for NUL, for a number that is not finite and for what is not
    JSON.
    """
    text = encode(value)
    # The encoder turns NaN and infinities into null, which reads like a missing result.
    if "null" in text and (found := not_finite(value)) is not None:
        raise InvalidInput(
            f"{what} contains {found}, which JSON cannot hold",
            hint="return None or a text in its place",
        )
    if len(text) > MAX_INPUT_BYTES:
        size = len(text) / 2**20
        raise TooLarge(
            f"{what} is {size:.0f} MiB; a task takes at most {MAX_INPUT_BYTES >> 20} MiB",
            hint="put it into a file and pass the file's path",
        )
    if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
        raise InvalidInput(f"{what} contains a NUL character, which Postgres cannot store")
    return text


def check_key(key: str | None) -> None:
    """Raise InvalidInput for an idempotency key that cannot be stored or compared."""
    if key is not None and (not key or len(key) > 255 or "\x00" in key):
        raise InvalidInput("an idempotency key has 1 to 255 characters and no NUL")


def request_hash(name: str, encoded: str, options: Options) -> bytes:
    """Identify what was asked for, to tell a repeated submission from a different one."""
    asked = encode([name, asdict(options)])
    return hashlib.sha256(f"{asked}\n{encoded}".encode()).digest()


def budget_rows(
    budget: Budgets | None,
    reserve: Budgets | None = None,
    *,
    lost: str = "charge",
    derived: bool = False,
) -> list[dict[str, Any]]:
    """The rows of lmx.budgets for one task.

    `reserve` is what each attempt holds; `lost` whether an attempt with an unknown outcome is
    charged at that ("charge") or cost nothing ("release"). A `derived` budget is given only of the
    units that its parent has one of.
    """
    more = {"derived": True} if derived else {}
    return [
        {
            "unit": unit,
            "ceiling": amount,
            "reserve": (reserve or {}).get(unit, 0),
            "lost": lost,
            **more,
        }
        for unit, amount in sorted((budget or {}).items())
    ]


def call_input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a function task."""
    return {"args": list(args), "kwargs": dict(kwargs)}
