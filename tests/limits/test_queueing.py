"""How long a call would wait behind others: an estimate from the limits of the pool."""

import pytest

from lmx.workflows.limits.pool import Pool, read_limits
from lmx.workflows.limits.queueing import crowded, wait_behind

NOW = 1_800_000_000.0
RPM = {"name": "requests/min", "of": "requests", "kind": "bucket", "limit": 60}
TPM = {"name": "tokens/min", "of": "input_tokens", "kind": "window", "limit": 1000}
SHARE = {"name": "5 hours", "of": "requests", "kind": "share", "period_s": 18_000}


def pool(*limits: dict[str, object]) -> Pool:
    return Pool(read_limits(limits, {}))


def seconds(found: Pool, ahead: int, tokens: int = 100) -> float:
    wait = wait_behind(
        found,
        NOW,
        {"requests": 1, "input_tokens": tokens},
        {"requests": ahead, "input_tokens": ahead * tokens},
    )
    return wait.seconds if wait else 0.0


def test_nobody_waits_in_an_empty_pool() -> None:
    assert wait_behind(pool(RPM, TPM), NOW, {"requests": 1, "input_tokens": 9}, {}) is None
    assert wait_behind(pool(), NOW, {"requests": 1}, {"requests": 10_000}) is None


def test_a_bucket_drains_at_its_rate() -> None:
    assert seconds(pool(RPM), 9) == 0
    assert seconds(pool(RPM), 29) == pytest.approx(20)
    assert seconds(pool(RPM), 629) == pytest.approx(620)


def test_a_window_takes_a_period_for_each_filling() -> None:
    assert seconds(pool(TPM), 9) == 0
    assert 55 < seconds(pool(TPM), 10) < 65
    assert 115 < seconds(pool(TPM), 20) < 185


def test_the_longest_of_all_waits_counts_and_says_its_limit() -> None:
    wait = wait_behind(
        pool(RPM, TPM), NOW, {"requests": 1, "input_tokens": 100}, {"input_tokens": 1000}
    )
    assert wait is not None
    assert wait.reason.startswith("tokens/min")


def test_an_open_breaker_is_waited_for_too() -> None:
    broken = Pool([], breaker={"kind": "overload", "until": NOW + 30})
    wait = wait_behind(broken, NOW, {"requests": 1}, {})
    assert wait is not None
    assert (wait.seconds, wait.reason) == (
        30,
        "the breaker is open (overload): the provider is overloaded",
    )


def test_a_window_of_which_much_is_used_is_crowded() -> None:
    state = {"5 hours": {"used": 0.5, "resets_at": NOW + 3600}}
    assert crowded(pool(SHARE).with_states(state), NOW) == "5 hours"
    assert crowded(pool(SHARE), NOW) is None
