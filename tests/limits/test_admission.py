"""What a pool lets start, and how news of the provider changes it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lmx.workflows.errors import InvalidInput
from lmx.workflows.limits.admission import Admission, Call, admit
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.pool import Pool, read_pool, write_state

LIMITS: list[dict[str, Any]] = [
    {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 60},
    {"name": "input/min", "of": "input_tokens", "kind": "window", "limit": 1000},
]


def pool() -> Pool:
    return read_pool(LIMITS, {})


def calls(count: int, tokens: int = 10, first: int = 1) -> list[Call]:
    costs = {"requests": 1, "input_tokens": tokens}
    return [Call(number, costs) for number in range(first, first + count)]


def after(pool: Pool, *news: News) -> Pool:
    return fold(pool, news, {}).pool


def admitted(pool: Pool, now: float, count: int = 100) -> int:
    return len(admit(pool, now, calls(count)).admitted)


def test_calls_start_in_their_order_until_one_limit_is_reached() -> None:
    decision = admit(pool(), 0.0, calls(15))
    assert list(decision.admitted) == list(range(1, 11))
    assert decision.wait is not None
    assert decision.wait.seconds == 1.0
    assert decision.wait.reason == "requests/min: 10 of 60 used"


def test_every_limit_has_a_say() -> None:
    decision = admit(pool(), 0.0, calls(5, tokens=400))
    assert list(decision.admitted) == [1, 2]
    assert decision.wait is not None
    assert "input/min" in decision.wait.reason


def test_nobody_overtakes_a_call_that_waits() -> None:
    large, small = calls(1, tokens=900)[0], calls(3, tokens=1, first=2)
    first = admit(pool(), 0.0, calls(1, tokens=500, first=9))
    decision = admit(first.pool, 0.0, [large, *small])
    assert not decision.admitted


def test_a_call_larger_than_a_limit_never_starts_and_holds_nobody_up() -> None:
    decision = admit(pool(), 0.0, [*calls(1, tokens=1001), *calls(1, first=2)])
    assert list(decision.admitted) == [2]
    assert decision.never == {1: "it needs 1001 of input/min, of which there are 1000"}


def test_an_overestimate_makes_room_when_the_real_amount_is_known() -> None:
    full: Admission = admit(pool(), 0.0, calls(2, tokens=500))
    assert admitted(full.pool, 2.0) == 0
    data = {
        "charged_at": 0.0,
        "estimate": {"requests": 1, "input_tokens": 500},
        "real": {"requests": 1, "input_tokens": 100},
    }
    assert admitted(after(full.pool, News("used", 2.0, 1, data)), 2.0, 40) == 10


def test_a_pool_learns_how_much_of_their_bounds_its_calls_use() -> None:
    bounds = {"requests": 1, "input_tokens": 400}
    data = {
        "charged_at": 0.0,
        "bound": bounds,
        "estimate": bounds,
        "real": {**bounds, "input_tokens": 100},
    }
    learnt = after(pool(), *(News("used", 200.0, 1, data) for _ in range(400)))
    decision = admit(learnt, 300.0, calls(20, tokens=800))
    assert [start.costs["input_tokens"] for start in decision.admitted.values()] == [201] * 4


def test_what_headers_say_only_lowers_what_is_left() -> None:
    told = News("told", 0.0, data={"limits": {"requests/min": {"remaining": 52, "limit": 60}}})
    assert admitted(after(pool(), told), 0.0) == 2
    generous = News(
        "told", 0.0, data={"limits": {"requests/min": {"remaining": 892, "limit": 900}}}
    )
    busy = admit(pool(), 0.0, calls(8)).pool
    assert admitted(after(busy, generous), 0.0) == 2


def test_a_limit_that_the_provider_says_is_lower_stays_lower() -> None:
    news = News("told", 0.0, data={"limits": {"requests/min": {"remaining": 6, "limit": 6}}})
    folded = fold(pool(), [news], {})
    state = write_state(folded.pool, folded.lowered)
    assert admitted(read_pool(LIMITS, state), 0.0) == 1
    raised = [{**LIMITS[0], "limit": 3}, LIMITS[1]]
    assert read_pool(raised, state).limits[0].meter.limit == 3


def test_a_refusal_is_believed_for_as_long_as_it_says() -> None:
    resting = after(pool(), News("refused", 0.0, 1, {"retry_after": 37.0}))
    shorter = after(resting, News("refused", 1.0, 2, {"retry_after": 5.0}))
    assert admitted(shorter, 36.9) == 0
    assert admitted(shorter, 37.0) == 10


def test_a_refusal_without_a_time_exhausts_the_limit_that_it_names() -> None:
    resting = after(pool(), News("refused", 0.0, 1, {"limit": "input/min"}))
    assert admitted(resting, 30.0) == 0
    assert admitted(resting, 63.0) == 10


def test_after_an_outage_one_probe_goes_first() -> None:
    down = after(pool(), *(News("failed", 0.0, n, {"kind": "overload"}) for n in (1, 2)))
    decision = admit(down, 5.0, calls(20, first=50))
    assert list(decision.admitted) == [50]
    assert decision.wait is not None
    assert "probe" in decision.wait.reason
    assert admitted(after(decision.pool, News("succeeded", 6.0, 50)), 6.0) == 10


def test_a_call_that_is_on_its_way_for_longer_than_the_window_still_counts() -> None:
    costs = {"requests": 1, "input_tokens": 900}
    unheard = replace(pool(), flying=[(0.0, costs, None)])
    assert len(admit(unheard, 300.0, calls(5, tokens=60)).admitted) == 1
    heard = replace(pool(), flying=[(0.0, costs, 250.0)])
    assert len(admit(heard, 300.0, calls(5, tokens=60)).admitted) == 1
    assert len(admit(heard, 313.0, calls(5, tokens=60)).admitted) == 5


def test_a_call_whose_worker_died_counts_from_when_that_was_found_out() -> None:
    sent = admit(pool(), 0.0, calls(1, tokens=900))
    data = {"charged_at": 0.0, "estimate": sent.admitted[1].costs}
    found_out = after(sent.pool, News("lost", 30.0, 1, data))
    assert len(admit(found_out, 89.0, calls(5, tokens=60)).admitted) == 1
    assert len(admit(found_out, 91.0, calls(5, tokens=60)).admitted) == 5


@pytest.mark.parametrize("kind", ["used", "lost"])
def test_a_call_that_could_never_start_has_nothing_to_correct(kind: str) -> None:
    data = {"charged_at": None, "heard_at": None, "estimate": None, "real": {"requests": 1}}
    assert admitted(after(pool(), News(kind, 0.0, 1, data)), 0.0) == 10


def test_a_spend_limit_holds_until_the_month_has_ended() -> None:
    now = datetime(2026, 12, 15, tzinfo=UTC).timestamp()
    capped = after(pool(), News("failed", now, 1, {"kind": "spend_cap", "month": True}))
    assert admitted(capped, datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp()) == 0
    assert admitted(capped, datetime(2027, 1, 1, tzinfo=UTC).timestamp()) == 1


def test_state_survives_its_row() -> None:
    busy = admit(pool(), 100.0, calls(7)).pool
    again = read_pool(LIMITS, write_state(busy, {}))
    assert admit(again, 101.0, calls(9)).admitted == admit(busy, 101.0, calls(9)).admitted


@pytest.mark.parametrize(
    "limit",
    [
        {},
        {"name": "x", "of": "requests", "kind": "magic", "limit": 1},
        {"name": "x", "of": "wishes", "kind": "bucket", "limit": 1},
        {"name": "x", "of": "requests", "kind": "bucket", "limit": 1, "colour": "red"},
        {"name": "x", "of": "requests", "kind": "bucket"},
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_in_one_line(limit: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        read_pool([limit], {})
