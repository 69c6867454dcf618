"""Requests per day of Los Angeles, whose days have 23, 24 or 25 hours."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from lmx.workflows.limits.admission import next_wait
from lmx.workflows.limits.day import Day
from lmx.workflows.limits.folding import News, fold
from lmx.workflows.limits.meter import Charge
from lmx.workflows.limits.pool import read_pool

PACIFIC = ZoneInfo("America/Los_Angeles")
HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=PACIFIC).timestamp()


@pytest.mark.parametrize(
    ("date", "hours"),
    [("2026-07-01", 24), ("2026-03-08", 23), ("2026-11-01", 25)],
)
def test_a_full_day_waits_until_the_midnight_of_the_provider(date: str, hours: int) -> None:
    day = Day(limit=2)
    began = at(f"{date}T00:00:05")
    state = day.charge({}, began, 2)
    assert day.wait(state, began, 1) == pytest.approx(hours * HOUR - 5 + day.jitter_s)
    assert day.wait(state, began + hours * HOUR, 1) == 0


def test_what_is_sent_at_midnight_counts_on_both_days() -> None:
    day = Day(limit=2)
    midnight = at("2026-07-02T00:00:00")
    state = day.charge({}, midnight - 0.5, 2)
    assert day.wait(state, midnight - 0.5, 1) > 0
    assert day.wait(state, midnight + 10, 1) == pytest.approx(24 * HOUR - 10 + day.jitter_s)


def test_a_correction_of_yesterday_changes_nothing_today() -> None:
    day = Day(limit=10)
    noon = at("2026-07-01T12:00:00")
    state = day.charge({}, noon, 3)
    state = day.charge(state, noon + 24 * HOUR, 4)
    assert (
        day.usage(
            day.correct(state, noon + 24 * HOUR, Charge(noon, noon, 3), 0), noon + 24 * HOUR
        ).used
        == 4
    )
    earlier = Charge(noon + 23 * HOUR, noon + 23 * HOUR, 3)
    corrected = day.correct(state, noon + 24 * HOUR, earlier, 0)
    assert day.usage(corrected, noon + 24 * HOUR).used == 1


@pytest.mark.parametrize(("after_s", "rests_s"), [(-0.5, 15), (3, 15), (600, 24 * HOUR - 599)])
def test_a_refusal_at_midnight_may_be_for_the_old_day(after_s: float, rests_s: float) -> None:
    """The provider's clock is a little slower; what was refused waits, but not for a day."""
    row = {"name": "requests/day", "of": "requests", "kind": "day", "limit": 100}
    now = at("2026-07-02T00:00:00") + after_s
    refusal = News("refused", now, 1, {"limit": "requests/day", "granted": 100})
    pool = fold(read_pool([row], {}), [refusal], {}).pool
    wait = next_wait(pool, now, {"requests": 1})
    assert wait is not None
    assert wait.seconds == pytest.approx(rests_s)


def test_an_exhausted_day_is_full_until_midnight() -> None:
    day = Day(limit=1000)
    noon = at("2026-07-01T12:00:00")
    assert day.wait(day.exhausted({}, noon), noon, 1) == pytest.approx(12 * HOUR + day.jitter_s)
