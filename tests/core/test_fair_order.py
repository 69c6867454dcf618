"""Who is served next: shares between runs, priorities within one, and nobody starves."""

from collections import Counter

import pytest

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.lease import Lease
from tests.support.hands import COORDINATORS, QUEUE, Hands, spawning


def start_run(hands: Hands, children: int, weight: float = 1.0, priority: int = 0) -> int:
    """A run with `children` ready tasks in the work queue."""
    run = hands.submit(weight=weight)
    lease = hands.mind()
    assert lease.task_id == run
    operations = [spawning(lease, f"c{number}") for number in range(children)]
    for operation in operations:
        operation.fields["priority"] = priority
    hands.apply(*operations)
    hands.park(lease)
    return run


def served(hands: Hands, count: int) -> list[Lease]:
    """Claim one task after another, as one slot would."""
    leases = []
    for _ in range(count):
        lease = hands.take()
        hands.finish(lease)
        leases.append(lease)
    return leases


def test_stand_alone_tasks_are_served_in_the_order_of_their_submission(
    hands: Hands, client: Client
) -> None:
    ids = [client.enqueue("call", {}, queue=QUEUE) for _ in range(5)]
    assert [lease.task_id for lease in served(hands, 5)] == ids


def test_two_runs_of_equal_weight_take_turns_although_one_came_first(hands: Hands) -> None:
    first = start_run(hands, 20)
    second = start_run(hands, 20)
    shares = Counter(lease.root_id for lease in served(hands, 20))
    assert shares == {first: 10, second: 10}


def test_a_run_of_weight_three_gets_three_quarters(hands: Hands) -> None:
    heavy = start_run(hands, 60, weight=3)
    light = start_run(hands, 60, weight=1)
    shares = Counter(lease.root_id for lease in served(hands, 40))
    assert shares[heavy] == pytest.approx(30, abs=1)
    assert shares[light] == pytest.approx(10, abs=1)


def test_a_large_run_does_not_hold_up_a_small_one_that_comes_later(hands: Hands) -> None:
    start_run(hands, 200)
    served(hands, 50)
    late = start_run(hands, 4)
    assert [lease.root_id for lease in served(hands, 9)].count(late) == 4


def test_a_run_that_was_idle_has_no_claim_on_the_time_it_missed(hands: Hands) -> None:
    idle = start_run(hands, 1)
    busy = start_run(hands, 100)
    served(hands, 41)
    coordinator = hands.mind()
    assert coordinator.task_id == idle, "its only child has finished"
    hands.spawn(coordinator, *(f"more{number}" for number in range(20)))
    shares = Counter(lease.root_id for lease in served(hands, 20))
    assert shares[busy] >= 9


def test_stand_alone_tasks_and_a_run_share_the_queue(hands: Hands, client: Client) -> None:
    run = start_run(hands, 40)
    alone = {client.enqueue("call", {}, queue=QUEUE) for _ in range(40)}
    first = served(hands, 40)
    assert sum(lease.root_id == run for lease in first) == pytest.approx(20, abs=2)
    assert sum(lease.task_id in alone for lease in first) == pytest.approx(20, abs=2)


def test_the_higher_priority_goes_first(hands: Hands, client: Client) -> None:
    low = client.enqueue("call", {}, queue=QUEUE, priority=-1)
    normal = client.enqueue("call", {}, queue=QUEUE)
    high = client.enqueue("call", {}, queue=QUEUE, priority=1)
    assert [lease.task_id for lease in served(hands, 3)] == [high, normal, low]


def test_a_task_of_low_priority_is_overtaken_only_so_often(hands: Hands, client: Client) -> None:
    """A point of priority is a head start of 1,000 places, so later tasks do not starve it."""
    low = client.enqueue("call", {}, queue=QUEUE, priority=-1)
    client.enqueue_many("call", [{}] * 1500, queue=QUEUE)
    order = [lease.task_id for _ in range(25) for lease in hands.claim(slots=60)]
    assert 990 <= order.index(low) <= 1010


def test_a_woken_coordinator_comes_before_runs_that_have_not_begun(hands: Hands) -> None:
    begun, (child,) = hands.run_to_parked("only")
    waiting = [hands.submit() for _ in range(3)]
    hands.finish(hands.take())
    order = [lease.task_id for lease in hands.claim(COORDINATORS, slots=4)]
    assert order == [begun, *waiting]
    assert hands.state(child) == "succeeded"


def test_a_throttled_queue_delays_no_other(
    hands: Hands, client: Client, database: Database
) -> None:
    client.enqueue("call", {}, queue="other")
    client.enqueue("call", {}, queue=QUEUE)
    with database.connect() as conn:
        conn.execute("UPDATE lmx.queues SET paused = true WHERE name = %s", [QUEUE])
    assert hands.claim(QUEUE) == []
    assert len(hands.claim("other")) == 1
