"""What a purse grants: pure decisions on periods of allowances."""

from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.allowances.purse import Deferral, Period, Purse, Settling, amounts_of
from lmx.workflows.allowances.words import until_text


def period(ceiling: int, spent: int = 0, held: int = 0, **how: object) -> Period:
    """A period in calls that ends in a minute."""
    known = {"id": 1, "scope": "*", "unit": "calls", "per": "day", "zone": "UTC"}
    known |= {"ceiling": ceiling, "spent": spent, "held": held, "ends_at": 160.0, "now": 100.0}
    return Period(**{**known, **how})  # type: ignore[arg-type]


def test_what_fits_is_granted_and_what_is_over_waits_for_the_end() -> None:
    purse = Purse([period(3, spent=2)])
    assert purse.refusal("a/b", {"calls": 1}) is None
    refusal = purse.refusal("a/b", {"calls": 2})
    assert isinstance(refusal, Deferral)
    assert refusal.until == 160.0
    assert purse.refusal("a/b", {"tokens": 99}) is None, "it counts calls only"


def test_what_would_fit_if_holds_came_back_waits_for_them() -> None:
    refusal = Purse([period(3, spent=1, held=2)]).refusal("a/b", {"calls": 2})
    assert isinstance(refusal, Settling)
    assert refusal.seconds <= 1


def test_of_several_that_are_used_up_the_last_to_end_decides() -> None:
    periods = [period(1, spent=1), period(1, spent=1, id=2, per="month", ends_at=900.0)]
    refusal = Purse(periods).refusal("a/b", {"calls": 1})
    assert isinstance(refusal, Deferral)
    assert refusal.until == 900.0
    assert "a month" in refusal.reason


def test_an_allowance_without_end_is_looked_at_again_after_a_day() -> None:
    refusal = Purse([period(0, per="total", ends_at=None)]).refusal("a/b", {"calls": 1})
    assert isinstance(refusal, Deferral)
    assert refusal.until == 100.0 + 86_400
    assert refusal.reason.endswith("until it is raised")


def test_a_zone_that_this_machine_does_not_know_is_shown_in_utc() -> None:
    assert until_text("day", "Mars/Olympus", 0.0) == "; until 1970-01-01 00:00 UTC"


@given(
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(["a/b", "c/d"]), st.integers(1, 9)), max_size=30),
)
def test_a_purse_never_grants_more_than_any_of_its_periods(
    ceiling: int, calls: list[tuple[str, int]]
) -> None:
    periods = [period(ceiling), period(ceiling // 2, id=2, scope="a/b")]
    purse = Purse(periods)
    for task, (account, amount) in enumerate(calls):
        if purse.refusal(account, {"calls": amount}) is None:
            purse.take(task, account, {"calls": amount})
    for one in periods:
        held = sum(hold["amount"] for hold in purse.holds if hold["period"] == one.id)
        assert held <= one.ceiling


def test_a_call_counts_every_unit_by_what_it_may_use_at_the_most() -> None:
    bounds = {"requests": 1, "input_tokens": 10, "output_tokens": 5, "usd": 7}
    assert amounts_of(bounds) == {"usd": 7, "tokens": 15, "calls": 1, "seconds": 0}
    assert amounts_of({**bounds, "tokens": 40, "seconds": 130})["tokens"] == 40
