"""Which model calls a GPU worker claims, as a pure decision."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from lmx.workers.gpu.choice import choose

GIB = 2**30


@dataclass(frozen=True)
class Answer:
    """What the planner says of one call."""

    verdict: str
    needs: int = GIB
    missing: int = GIB
    cap: int = 2 * GIB
    free: int = GIB
    turn: int = 0

    @property
    def starts(self) -> bool:
        return self.verdict not in ("wait", "never")


NOW, EVICT, STREAMED, WAIT, NEVER = (
    Answer(v) for v in ("now", "after_eviction", "streamed", "wait", "never")
)


def test_what_fits_is_claimed_in_fair_order_up_to_the_free_slots() -> None:
    choice = choose([3, 1, 2], {1: STREAMED, 2: NOW, 3: EVICT}, slots=2)
    assert list(choice.claim) == [3, 1]


def test_the_planner_s_turns_come_before_the_order_of_arrival() -> None:
    fits = {1: Answer("now", turn=0), 2: Answer("now", turn=2), 3: Answer("now", turn=1)}
    assert list(choose([1, 2, 3], fits, slots=2).claim) == [1, 3]


def test_a_call_that_must_wait_is_not_claimed_and_holds_nobody_up() -> None:
    choice = choose([1, 2], {1: WAIT, 2: NOW}, slots=4)
    assert list(choice.claim) == [2]
    assert list(choice.waiting) == [1]


def test_what_can_never_fit_here_is_claimed_to_fail() -> None:
    assert choose([1], {1: NEVER}, slots=4).claim == {1: 0}


def test_what_can_never_fit_here_is_left_to_a_larger_device() -> None:
    assert choose([1], {1: NEVER}, slots=4, larger_elsewhere=4 * GIB).claim == {}


def test_a_call_of_a_model_that_this_host_lacks_is_left_to_others() -> None:
    assert list(choose([1, 2], {2: NOW}, slots=4).claim) == [2]


def test_a_call_that_can_only_fail_books_nothing() -> None:
    assert choose([1], {1: None}, slots=4).claim == {1: 0}


@given(
    st.lists(st.sampled_from([NOW, EVICT, STREAMED, WAIT, NEVER, None]), max_size=12),
    st.integers(0, 6),
)
def test_nothing_that_must_wait_is_claimed_and_no_slot_is_promised_twice(
    answers: list[Answer | None], slots: int
) -> None:
    ids = list(range(len(answers)))
    choice = choose(ids, dict(enumerate(answers)), slots)
    assert len(choice.claim) <= slots
    assert not choice.claim.keys() & choice.waiting.keys()
    assert all(answers[task] is not WAIT for task in choice.claim)
