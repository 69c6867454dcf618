"""What a rehearsal's numbers mean: how full a limit was, how fast calls went, how they waited."""

import pytest

from lmx.api.rehearsal.report import PoolReport, Seconds, Watched, changes, mean_fill, report

RPM = {"name": "requests/min", "of": "requests", "kind": "window", "limit": 10, "period_s": 60.0}
TPM = {"name": "input/min", "of": "input_tokens", "kind": "bucket", "limit": 6000}
RPD = {"name": "requests/day", "of": "requests", "kind": "day", "limit": 400}


def bursts(size: int, every_s: int, until_s: int) -> dict[int, int]:
    return dict.fromkeys(range(0, until_s, every_s), size)


def watched(requests: dict[int, int], planned: int = 10_000, end: float = 960.0) -> Watched:
    seconds: Seconds = {"requests": requests}
    return Watched("gemini/default/flash", planned, 0.0, end, seconds, [RPM, TPM, RPD])


@pytest.mark.parametrize(("every_s", "share"), [(60, 1.0), (64, 60 / 64), (120, 0.5)])
def test_bursts_fill_a_window_for_a_period_of_each_cycle(every_s: int, share: float) -> None:
    assert mean_fill(bursts(10, every_s, 3600), 10, 60, 0, 3600) == pytest.approx(share, abs=0.01)


def test_how_full_a_limit_was_does_not_depend_on_where_the_last_burst_falls() -> None:
    shares = [mean_fill(bursts(10, 64, end), 10, 60, 0, end) for end in range(900, 1000, 7)]
    assert max(shares) - min(shares) < 0.01


def test_what_a_bucket_is_full_of_at_first_counts_for_nothing() -> None:
    steady = dict.fromkeys(range(0, 960, 6), 1)
    assert mean_fill({**steady, 0: 11}, 10, 60, 0, 960) == pytest.approx(1.0, abs=0.01)


def test_the_fullest_limit_is_the_one_that_binds() -> None:
    told = report(watched(bursts(10, 64, 960)))
    assert told.limit == "requests/min"
    assert told.share == pytest.approx(60 / 64, abs=0.01)
    assert told.calls == 150
    assert told.per_minute == pytest.approx(600 / 64, abs=0.1)
    assert told.done_in_min == pytest.approx(16 + (10_000 - 150) / (600 / 64), rel=0.02)


def test_a_pool_that_has_done_all_its_calls_is_judged_until_then() -> None:
    told = report(watched(bursts(10, 60, 480), planned=80))
    assert told.share == pytest.approx(1.0, abs=0.02)
    assert told.done_in_min == pytest.approx(7.0, abs=0.1)


def test_waits_are_told_at_the_median_and_for_the_slowest() -> None:
    some = Watched("p", 100, 0.0, 100.0, {"requests": {1: 100}}, waits=list(range(100)))
    assert report(some).wait_p50_s == pytest.approx(49.5)
    assert report(some).wait_p95_s == pytest.approx(94.05)


def test_a_pool_of_which_nothing_was_heard_is_reported_too() -> None:
    told = report(Watched("p", 5, 0.0, 60.0, {}))
    assert (told.calls, told.limit, told.per_minute) == (0, None, 0.0)


def test_two_runs_are_compared_pool_by_pool() -> None:
    def one(pool: str, per_minute: float) -> PoolReport:
        return PoolReport(pool, 1, 1, per_minute, 1.0, 0.0, 0.0, 0, 0, 0, None, None, 0)

    before, after = [one("a", 10.0), one("b", 4.0)], [one("a", 9.9), one("b", 0.4)]
    assert changes(before, after) == {
        "a": (10.0, 9.9, pytest.approx(-0.01)),
        "b": (4.0, 0.4, pytest.approx(-0.9)),
    }
