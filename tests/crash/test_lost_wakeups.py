"""Children finish while their parents register the wait; no notification is heard by anybody."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from lmx.workflows.control import cancel, signal
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from lmx.workflows.operations import Operation
from lmx.workflows.sql import statement
from tests.support.eventually import eventually
from tests.support.hands import COORDINATORS, QUEUE, Hands, finishing, spawning

ROUND = 250


@pytest.fixture
def racers(database: Database) -> Iterator[list[Hands]]:
    hands = [Hands(database, f"racer {number}") for number in range(3)]
    yield hands
    for hand in hands:
        hand.close()


def race(*sides: Callable[[], int]) -> list[int]:
    """Run all sides at once, each in a thread; return what they return."""
    ready = threading.Barrier(len(sides))

    def run(side: Callable[[], int]) -> int:
        ready.wait(20)
        return side()

    with ThreadPoolExecutor(len(sides)) as threads:
        return list(threads.map(run, sides))


def portions(operations: Sequence[Operation], seed: int) -> Iterator[Sequence[Operation]]:
    """Cut a list into transactions of one to four operations."""
    rng = random.Random(seed)
    start = 0
    while start < len(operations):
        end = start + rng.choice((1, 1, 1, 2, 4))
        yield operations[start:end]
        start = end


def apply_all(hands: Hands, operations: Sequence[Operation], seed: int) -> int:
    """Commit operations in small transactions; return how many parked."""
    parked = 0
    for portion in portions(operations, seed):
        for applied in hands.apply(*portion):
            assert applied.accepted
            parked += bool(applied.row and applied.row[1] is True)
    return parked


def families(hands: Hands, count: int, children: int) -> tuple[list[Lease], list[Lease]]:
    """Leased parents, each with leased children."""
    hands.conn.execute("DELETE FROM lmx.tasks WHERE parent_id IS NOT NULL")
    hands.conn.execute("DELETE FROM lmx.tasks")
    hands.conn.execute(
        "INSERT INTO lmx.tasks (id, root_id, role, queue, name, state)"
        " SELECT id, id, 'coordinator', %s, 'review', 'ready'"
        " FROM (SELECT nextval('lmx.task_ids') AS id FROM generate_series(1, %s)) n",
        [COORDINATORS, count],
    )
    parents = hands.claim(COORDINATORS, slots=count)
    hands.apply(*(spawning(p, f"c{n}") for p in parents for n in range(children)))
    return parents, hands.claim(QUEUE, slots=count * children)


def stuck(hands: Hands) -> int:
    """Parents that wait although no child of theirs is unfinished."""
    return int(
        hands.value(
            "SELECT count(*) FROM lmx.tasks p WHERE p.state = 'parked' AND NOT EXISTS"
            " (SELECT FROM lmx.tasks c WHERE c.parent_id = p.id AND c.finished_at IS NULL)"
        )
    )


def park(parent: Lease, **fields: object) -> Operation:
    return Operation("park", parent.task_id, parent.seq, {"children": True, **fields})


def test_ten_thousand_races_of_a_park_with_the_last_childs_finish(racers: list[Hands]) -> None:
    parker, finisher, _ = racers
    parked = 0
    for turn in range(10_000 // ROUND):
        parents, children = families(parker, ROUND, 1)
        waits = [park(parent) for parent in parents]
        ends = [finishing(child) for child in sorted(children, key=lambda c: c.parent_id or 0)]
        parked += race(
            partial(apply_all, parker, waits, turn), partial(apply_all, finisher, ends, -turn - 1)
        )[0]
        assert stuck(parker) == 0
        states = parker.conn.execute(
            "SELECT DISTINCT state::text, waiting FROM lmx.tasks"
        ).fetchall()
        assert {(state, waiting) for state, waiting in states} <= {
            ("ready", 0),
            ("leased", 0),
            ("succeeded", 0),
        }
    assert 0 < parked < 10_000, "both orders occurred"


@pytest.mark.parametrize("need", [None, 1])
def test_two_children_that_finish_at_once_wake_their_parent_once(
    racers: list[Hands], need: int | None
) -> None:
    parker, *finishers = racers
    for turn in range(4):
        parents, children = families(parker, ROUND, 2)
        sides = [[c for c in children if c.key == f"c{n}"] for n in range(2)]
        ends = [[finishing(c) for c in sorted(s, key=lambda c: c.parent_id or 0)] for s in sides]
        waits = [park(parent, need=need, keys=["c0", "c1"]) for parent in parents]
        race(
            partial(apply_all, parker, waits, turn),
            partial(apply_all, finishers[0], ends[0], turn + 100),
            partial(apply_all, finishers[1], ends[1], turn + 200),
        )
        assert stuck(parker) == 0
        assert parker.value("SELECT count(*) FROM lmx.tasks WHERE waiting <> 0") == 0


def test_a_signal_that_comes_while_its_receiver_registers_the_wait(racers: list[Hands]) -> None:
    parker, sender, _ = racers
    parents, _ = families(parker, ROUND, 0)
    waits = [park(parent, children=False, signal="go", signal_seq=1) for parent in parents]

    def send_all() -> int:
        for parent in parents:
            signal(sender.database, parent.task_id, "go")
        return 0

    race(partial(apply_all, parker, waits, 1), send_all)
    assert parker.value("SELECT count(*) FROM lmx.tasks WHERE state = 'parked'") == 0


def test_a_child_that_is_cancelled_while_its_parent_registers_the_wait(
    racers: list[Hands],
) -> None:
    parker, canceller, _ = racers
    parents, children = families(parker, ROUND, 1)
    waits = [park(parent) for parent in parents]
    order = sorted(children, key=lambda c: c.parent_id or 0)

    def cancel_all() -> int:
        return sum(cancel(canceller.database, child.task_id) for child in order)

    race(partial(apply_all, parker, waits, 1), cancel_all)
    assert stuck(parker) == 0
    assert parker.value("SELECT count(*) FROM lmx.tasks WHERE state = 'cancelled'") == ROUND


def test_a_time_that_comes_while_a_coordinator_registers_the_wait_for_it(
    racers: list[Hands],
) -> None:
    parker, promoter, _ = racers
    parents, _ = families(parker, ROUND, 0)
    now = float(parker.value("SELECT extract(epoch FROM clock_timestamp())"))
    waits = [
        park(parent, children=False, wake_at=now + 0.001 * place)
        for place, parent in enumerate(parents)
    ]
    over = threading.Event()

    def promote_all() -> int:
        while not over.is_set():
            promoter.conn.execute(statement("promote"))
        return 0

    def park_all() -> int:
        try:
            return apply_all(parker, waits, 1)
        finally:
            over.set()

    race(park_all, promote_all)
    waiting = "SELECT count(*) FROM lmx.tasks WHERE state = 'parked'"
    promoted = "SELECT count(*) FROM lmx.tasks WHERE state = 'parked' AND run_at IS NULL"
    assert parker.value(promoted) == 0

    def all_woken() -> bool:
        promoter.conn.execute(statement("promote"))
        return parker.value(waiting) == 0

    eventually(all_woken, "the last of the times")
