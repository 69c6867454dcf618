"""How an account's calls go in batches: when one is sent, how large it is, how many there may be.

`[account.batches]` in providers.toml overrides what limits.toml says for the tier:

    wait_s = 60           # a call waits at most so long for others to go with it
    enough = 1000         # so many calls go at once
    max_calls = 5_000    # in one batch
    max_mb = 64           # in one batch
    poll_s = 60           # how often the provider is asked
    settled_s = 20        # until then a batch is in the provider's list, if it was taken at all
    queued_calls = 100_000, queued_batches = 100, queued_tokens = 3_000_000   # at the provider
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from lmx.workflows.errors import ConfigError

#: How long a batch may take, by all providers' terms.
LONGEST_S: Final = 86_400.0
#: What a pool waits for until a batch is sent.
GATHERING: Final = "gathering a batch"
_SUFFIX: Final = ":batch"


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """Times are in seconds of the provider's clock; None is no limit."""

    max_calls: int
    max_mb: int
    wait_s: float = 60.0
    enough: int = 1_000
    poll_s: float = 60.0
    settled_s: float = 20.0
    queued_calls: int | None = None
    queued_batches: int | None = None
    queued_tokens: int | None = None


def of_batches(name: str) -> str:
    """The name of a model group's, or an account's, part that goes in batches."""
    return f"{name}{_SUFFIX}"


def batch_terms(row: Mapping[str, Any], source: str) -> BatchTerms:
    """Read terms. Raises ConfigError, naming `source`, for what is none."""
    known = [one.name for one in fields(BatchTerms)]
    for name, value in row.items():
        if name not in known:
            raise ConfigError(f"{source}: unknown term {name!r}; known: {', '.join(known)}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or isinstance(value, float)) or value <= 0:
            raise ConfigError(f"{source}: {name} is {value!r} but must be a number above 0")
        if not name.endswith("_s") and not whole:
            raise ConfigError(f"{source}: {name} is {value!r} but must be a whole number")
    return BatchTerms(**row)
