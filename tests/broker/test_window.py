"""How far ahead a process fetches, as a function of how fast it finishes tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workers.window import HORIZON_S, Window


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def work(window: Window, clock: Clock, tasks: int, seconds: float) -> int:
    """Finish tasks during a time; return the window then."""
    for _ in range(tasks):
        window.finished()
    clock.now += seconds
    return window.size()


def test_long_tasks_are_not_hoarded() -> None:
    clock = Clock()
    window = Window(floor=16, ceiling=128, clock=clock)
    for _ in range(10):
        assert work(window, clock, tasks=16, seconds=1.0) == 16


def test_short_tasks_are_fetched_ahead() -> None:
    clock = Clock()
    window = Window(floor=16, ceiling=128, clock=clock)
    ahead = 2000 * HORIZON_S
    assert work(window, clock, tasks=21, seconds=0.01) == pytest.approx(16 + ahead, abs=3)
    assert work(window, clock, tasks=1000, seconds=0.01) == 128


def test_the_window_closes_again_when_the_rush_is_over() -> None:
    clock = Clock()
    window = Window(floor=16, ceiling=128, clock=clock)
    work(window, clock, tasks=1000, seconds=0.01)
    sizes = [work(window, clock, tasks=0, seconds=0.01) for _ in range(8)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 17


def test_without_room_to_grow_the_window_is_fixed() -> None:
    clock = Clock()
    window = Window(floor=32, ceiling=32, clock=clock)
    assert work(window, clock, tasks=1000, seconds=0.01) == 32


@pytest.mark.parametrize("floor", [1, 16, 200])
@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 10)), max_size=30))
def test_the_window_stays_within_its_bounds(floor: int, steps: list[tuple[int, float]]) -> None:
    clock = Clock()
    window = Window(floor=floor, ceiling=128, clock=clock)
    for tasks, seconds in steps:
        assert min(floor, 128) <= work(window, clock, tasks, seconds) <= 128
