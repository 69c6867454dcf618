"""The ledger never books more than its cap, and its books always add up."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lmx.engine import _core

KINDS = ("weights", "kv", "compute", "stream_slots", "foreign")
CAP = 1000

holders = st.sampled_from(["a", "b", "c"])
claims = st.lists(
    st.tuples(holders, st.sampled_from(KINDS), st.integers(0, 2**64 - 1) | st.integers(0, CAP)),
    max_size=4,
)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = _core.Ledger(CAP)
        self.books: dict[tuple[str, str], int] = {}

    @rule(wanted=claims)
    def reserve(self, wanted: list[tuple[str, str, int]]) -> None:
        free = CAP - sum(self.books.values())
        needs = sum(size for _, _, size in wanted)
        denial = self.ledger.reserve(wanted)
        if needs > free:
            assert denial == (min(needs, 2**64 - 1), CAP, free)
            return
        assert denial is None
        for holder, kind, size in wanted:
            if size:
                self.books[holder, kind] = self.books.get((holder, kind), 0) + size

    @rule(holder=holders)
    def release(self, holder: str) -> None:
        mine = {key: size for key, size in self.books.items() if key[0] == holder}
        assert self.ledger.release(holder) == sum(mine.values())
        for key in mine:
            del self.books[key]

    @invariant()
    def the_books_add_up(self) -> None:
        assert self.ledger.used == sum(self.books.values()) <= CAP
        assert self.ledger.free == CAP - self.ledger.used
        entries = {(holder, kind): size for holder, kind, size in self.ledger.entries()}
        assert entries == self.books


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_an_unknown_kind_of_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of bytes called 'x'"):
        _core.Ledger(1).reserve([("a", "x", 1)])
