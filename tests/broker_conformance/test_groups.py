"""Actors can be run side by side, and their common end can be acted upon."""

from dramatiq import group, pipeline

from tests.broker_conformance.subject import PATIENCE_MS, Subject


def test_the_results_of_a_group_come_in_its_order(subject: Subject) -> None:
    square = subject.actor(lambda x: x * x, actor_name="square", store_results=True)
    together = group([square.message(number) for number in range(8)], broker=subject.broker)
    with subject.worker():
        results = list(together.run().get_results(block=True, timeout=PATIENCE_MS))
    assert results == [0, 1, 4, 9, 16, 25, 36, 49]
    assert together.completed


def test_a_callback_runs_once_when_all_of_a_group_are_done(subject: Subject) -> None:
    # Given a group with a callback
    order: list[str] = []
    work = subject.actor(lambda name: order.append(name), actor_name="work")
    finish = subject.actor(lambda: order.append("finish"), actor_name="finish")
    together = group([work.message(name) for name in "abcdef"], broker=subject.broker)
    together.add_completion_callback(finish.message())

    # When it runs
    with subject.worker():
        together.run()
        subject.join()

    # Then the callback came last, and once
    assert sorted(order[:-1]) == list("abcdef")
    assert order[-1] == "finish"


def test_a_retried_member_delays_the_callback(subject: Subject) -> None:
    order: list[str] = []

    def flaky() -> None:
        order.append("flaky")
        if order.count("flaky") < 3:
            raise ValueError

    member = subject.actor(flaky, min_backoff=1, max_backoff=5)
    quick = subject.actor(lambda: order.append("quick"), actor_name="quick")
    finish = subject.actor(lambda: order.append("finish"), actor_name="finish")
    together = group([member.message(), quick.message()], broker=subject.broker)
    together.add_completion_callback(finish.message())
    with subject.worker():
        together.run()
        subject.join()
    assert order.count("flaky") == 3
    assert order[-1] == "finish"


def test_a_failed_member_keeps_the_callback_from_running(subject: Subject) -> None:
    order: list[str] = []

    def fail() -> None:
        raise ValueError

    bad = subject.actor(fail, max_retries=0)
    good = subject.actor(lambda: order.append("good"), actor_name="good")
    finish = subject.actor(lambda: order.append("finish"), actor_name="finish")
    together = group([bad.message(), good.message()], broker=subject.broker)
    together.add_completion_callback(finish.message())
    with subject.worker():
        together.run()
        subject.join()
    assert order == ["good"]


def test_a_group_may_hold_pipelines(subject: Subject) -> None:
    order: list[object] = []
    one = subject.actor(lambda: 1, actor_name="one")
    note = subject.actor(order.append, actor_name="note")
    finish = subject.actor(lambda: order.append("finish"), actor_name="finish")
    lanes = [
        pipeline([one.message(), note.message()], broker=subject.broker),
        pipeline([one.message(), note.message()], broker=subject.broker),
    ]
    together = group(lanes, broker=subject.broker)
    together.add_completion_callback(finish.message())
    with subject.worker():
        together.run()
        subject.join()
    assert order == [1, 1, "finish"]


def test_a_group_can_run_again(subject: Subject) -> None:
    # Given a group that has run
    seen: list[str] = []
    work = subject.actor(lambda: seen.append("work"), actor_name="work")
    finish = subject.actor(lambda: seen.append("finish"), actor_name="finish")
    together = group([work.message(), work.message()], broker=subject.broker)
    together.add_completion_callback(finish.message())
    with subject.worker():
        together.run()
        subject.join()

        # When it runs again
        together.run()
        subject.join()

    # Then all of it has run twice
    assert seen == ["work", "work", "finish"] * 2
