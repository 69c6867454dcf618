"""When a batch is sent and which calls go with it: pure decisions."""

from typing import Any

import pytest

from lmx.workers.cloud.batches.gathering import Queued, Waiting, choose, decide
from lmx.workflows.allowances.purse import Period, Purse
from lmx.workflows.errors import ConfigError
from lmx.workflows.limits import breaker
from lmx.workflows.limits.pool import Pool
from lmx.workflows.providers.batching import BatchTerms, batch_terms

CLOSED = Pool([])
TERMS = BatchTerms(max_calls=100, max_mb=1, enough=10, wait_s=60.0)


@pytest.mark.parametrize(
    ("ready", "until", "take", "waits"),
    [
        (1, None, 0, 60.0),  # the first call begins to gather
        (9, 1030.0, 0, 30.0),  # others come
        (9, 1000.0, 100, None),  # time is up
        (10, 1030.0, 100, None),  # there are enough
        (0, None, 0, None),  # all are of paused runs
    ],
)
def test_a_batch_goes_when_there_are_enough_or_time_is_up(
    ready: int, until: float | None, take: int, waits: float | None
) -> None:
    gathering = decide(CLOSED, 1000.0, ready, until, Queued(), TERMS)
    assert gathering.take == take
    assert (gathering.wait and gathering.wait.seconds) == waits


def test_an_open_breaker_holds_a_batch_back() -> None:
    state = breaker.failed({}, 1000.0, "billing")
    gathering = decide(Pool([], breaker=state), 1000.0, 50, None, Queued(), TERMS)
    assert gathering.take == 0
    assert gathering.wait is not None
    assert gathering.wait.reason.startswith("the breaker is open (billing): ")


@pytest.mark.parametrize(
    ("limit", "queued", "reason"),
    [
        ({"queued_batches": 2}, Queued(batches=2), "2 of 2 batches"),
        ({"queued_calls": 7}, Queued(calls=8), "8 of 7 calls"),
        ({"queued_tokens": 90}, Queued(tokens=90), "90 of 90 input tokens"),
    ],
)
def test_what_the_provider_keeps_bounds_what_is_sent(
    limit: dict[str, int], queued: Queued, reason: str
) -> None:
    terms = BatchTerms(max_calls=100, max_mb=1, enough=1, **limit)
    full = decide(CLOSED, 0.0, 5, None, queued, terms)
    assert full.take == 0
    assert full.wait is not None
    assert full.wait.reason == f"{reason} are in batches at the provider"


def test_no_more_calls_go_than_the_provider_has_room_for() -> None:
    terms = BatchTerms(max_calls=100, max_mb=1, enough=1, queued_calls=50)
    assert decide(CLOSED, 0.0, 60, None, Queued(calls=20), terms).take == 30


def calls(*sizes: int, model: str = "m", tokens: int = 10) -> list[Waiting]:
    return [Waiting(n, model, {"input_tokens": tokens}, size) for n, size in enumerate(sizes)]


def test_calls_of_one_model_go_together_as_far_as_they_fit() -> None:
    other = Waiting(9, "other", {}, 1)
    waiting = [*calls(400_000), other, *calls(500_000, 200_000)[0:2]]
    chosen = choose(waiting, Queued(), TERMS, "p/a", None)
    assert (chosen.model, len(chosen.ids), chosen.size) == ("m", 2, 900_000)


def test_one_call_always_goes_however_large_it_is() -> None:
    assert choose(calls(5_000_000, 1), Queued(), TERMS, "p/a", None).ids == [0]


def test_tokens_at_the_provider_count() -> None:
    terms = BatchTerms(max_calls=100, max_mb=1, queued_tokens=35)
    assert choose(calls(1, 1, 1), Queued(tokens=10), terms, "p/a", None).ids == [0, 1]


def test_what_no_allowance_has_room_for_is_set_aside_and_the_others_go() -> None:
    now = 1000.0
    period = Period(1, "*", "usd", "day", "UTC", 100, 0, 0, now + 60, now)
    costs = [{"usd": 60}, {"usd": 160}, {"usd": 40}, {"usd": 10}]
    waiting = [Waiting(n, "m", cost, 1) for n, cost in enumerate(costs)]
    chosen = choose(waiting, Queued(), TERMS, "p/a", Purse([period]))
    assert chosen.ids == [0, 2]
    assert [row["task"] for row in chosen.deferred] == [1]
    assert chosen.wait is not None  # what is held now may cost less


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"enuf": 3}, "unknown term 'enuf'"),
        ({"enough": 0}, "enough is 0"),
        ({"enough": 2.5}, "enough is 2.5 but must be a whole number"),
        ({"wait_s": "soon"}, "wait_s is 'soon'"),
        ({"max_mb": True}, "max_mb is True"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        batch_terms({"max_calls": 1, "max_mb": 1, **row}, "account anthropic/work, batches")
