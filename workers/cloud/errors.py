"""Why a call failed: what that means for the task, for its pool and for what it may have cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Failure(Enum):
    """Every way in which a call fails. Each provider's module maps its own onto these."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER = "server_error"
    SPEND_CAP = "spend_cap"
    BILLING = "billing"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    INVALID = "invalid_request"
    UNKNOWN_MODEL = "unknown_model"
    TOO_LONG = "context_too_long"
    REFUSED = "content_refused"
    MALFORMED = "malformed_answer"
    LOST = "connection_lost"
    HUNG = "timed_out"
    EXPIRED = "batch_expired"
    CANCELLED = "batch_cancelled"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`again`: the task goes back to its queue, and this is no attempt of its own.

    `final`: another attempt would fail alike, unless it is made `elsewhere`: with another account
    or model. `breaker` is the kind that it counts for. `billed`: the provider may have done the
    work, so the call is charged at what was held for it.
    """

    again: bool = False
    final: bool = False
    elsewhere: bool = False
    breaker: str | None = None
    billed: bool = False


MEANINGS: Final[Mapping[Failure, Meaning]] = {
    Failure.RATE_LIMITED: Meaning(again=True),
    Failure.OVERLOADED: Meaning(again=True, breaker="overload"),
    Failure.SERVER: Meaning(breaker="server"),
    Failure.SPEND_CAP: Meaning(again=True, breaker="spend_cap"),
    Failure.BILLING: Meaning(final=True, elsewhere=True, breaker="billing"),
    Failure.CREDENTIALS: Meaning(final=True, elsewhere=True, breaker="credentials"),
    Failure.UNREACHABLE: Meaning(again=True, breaker="server"),
    Failure.INVALID: Meaning(final=True),
    Failure.UNKNOWN_MODEL: Meaning(final=True, elsewhere=True),
    Failure.TOO_LONG: Meaning(final=True, elsewhere=True),
    Failure.REFUSED: Meaning(final=True),
    Failure.MALFORMED: Meaning(billed=True),
    Failure.LOST: Meaning(billed=True, breaker="server"),
    Failure.HUNG: Meaning(billed=True, breaker="server"),
    Failure.EXPIRED: Meaning(),
    Failure.CANCELLED: Meaning(),
}


class ProviderError(Exception):
    """A call failed. `retry_after` is in seconds, `limit` the pool's limit that was met, `granted`
    what the provider says that limit is; `month`: until the end of the month (UTC)."""

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        retry_after: float | None = None,
        limit: str | None = None,
        granted: int | None = None,
        month: bool = False,
        told: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(" ".join(message.split()))
        self.failure = failure
        self.retry_after = retry_after
        self.limit = limit
        self.granted = granted
        self.month = month
        self.told = told or {}

    def redacted(self, redact: Callable[[str], str]) -> "ProviderError":
        """The same with another message."""
        return ProviderError(
            self.failure,
            redact(str(self)),
            retry_after=self.retry_after,
            limit=self.limit,
            granted=self.granted,
            month=self.month,
            told=self.told,
        )

    @property
    def meaning(self) -> Meaning:
        """What this failure means."""
        return MEANINGS[self.failure]


#: What a failure means in words, before what the provider says of it.
_SAYS: Final[Mapping[Failure, str]] = {
    Failure.RATE_LIMITED: "the provider limits the rate",
    Failure.OVERLOADED: "the provider is overloaded",
    Failure.SERVER: "the provider has failed",
    Failure.SPEND_CAP: "the account has spent what it may",
    Failure.BILLING: "the provider wants to be paid first",
    Failure.CREDENTIALS: "the provider refuses the key",
    Failure.INVALID: "the provider refuses the request",
    Failure.UNKNOWN_MODEL: "the provider knows no such model",
    Failure.TOO_LONG: "the prompt does not fit the model's context",
    Failure.REFUSED: "the provider refuses the content",
    Failure.MALFORMED: "the answer cannot be read",
}


def by_provider(failure: Failure, said: str, **how: Any) -> ProviderError:
    """A failure that the provider, or its SDK, has `said` something of."""
    return ProviderError(failure, f"{_SAYS[failure]}: {said}", **how)
