"""Actors can be chained: each one's result is the next one's argument."""

from dramatiq import pipeline

from tests.broker_conformance.subject import PATIENCE_MS, Subject


def test_a_result_flows_into_the_next_actor(subject: Subject) -> None:
    # Given a pipeline of three steps
    add = subject.actor(lambda a, b: a + b, actor_name="add", store_results=True)
    steps = pipeline([add.message(1, 2), add.message(3), add.message(4)], broker=subject.broker)

    # When it runs
    with subject.worker():
        result = steps.run().get_result(block=True, timeout=PATIENCE_MS)

    # Then each step has added to the result before
    assert result == 10
    assert steps.completed_count == 3
    assert list(steps.get_results()) == [3, 6, 10]


def test_a_result_can_be_ignored(subject: Subject) -> None:
    seen: list[tuple[object, ...]] = []
    first = subject.actor(lambda: "ignored", actor_name="first")
    second = subject.actor(lambda *args: seen.append(args), actor_name="second", pipe_ignore=False)
    steps = pipeline(
        [first.message(), second.message_with_options(args=("own",), pipe_ignore=True)],
        broker=subject.broker,
    )
    with subject.worker():
        steps.run()
        subject.join()
    assert seen == [("own",)]


def test_a_failed_step_ends_the_pipeline(subject: Subject) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise ValueError

    failing = subject.actor(fail, max_retries=0)
    after = subject.actor(lambda _: seen.append("after"), actor_name="after")
    with subject.worker():
        pipeline([failing.message(), after.message()], broker=subject.broker).run()
        subject.join()
    assert seen == []
    assert [letter.actor_name for letter in subject.dead_letters()] == ["fail"]


def test_a_step_that_is_retried_continues_the_pipeline_once(subject: Subject) -> None:
    attempts: list[int] = []
    seen: list[str] = []

    def flaky() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return "at last"

    first = subject.actor(flaky, min_backoff=1, max_backoff=5)
    second = subject.actor(seen.append, actor_name="second")
    with subject.worker():
        pipeline([first.message(), second.message()], broker=subject.broker).run()
        subject.join()
    assert seen == ["at last"]


def test_a_pipeline_can_be_delayed_and_cross_queues(subject: Subject) -> None:
    seen: list[int] = []
    here = subject.actor(lambda: 1, actor_name="here", queue_name="here")
    there = subject.actor(seen.append, actor_name="there", queue_name="there")
    with subject.worker():
        pipeline([here.message(), there.message()], broker=subject.broker).run(delay=20)
        subject.join("here")
        subject.join("there")
    assert seen == [1]


def test_callbacks_hear_of_success_and_failure(subject: Subject) -> None:
    # Given actors with callbacks
    heard: list[tuple[str, object]] = []
    subject.actor(lambda message, result: heard.append(("ok", result)), actor_name="on_ok")
    subject.actor(lambda message, error: heard.append(("bad", error)), actor_name="on_bad")

    def fail() -> None:
        raise ValueError("broken")

    good = subject.actor(lambda: 42, actor_name="good", on_success="on_ok", on_failure="on_bad")
    bad = subject.actor(fail, max_retries=0, on_success="on_ok", on_failure="on_bad")

    # When one succeeds and one fails
    good.send()
    bad.send()
    subject.process()

    # Then each callback is called once, with what happened
    assert sorted(heard, key=str) == [
        ("bad", {"type": "ValueError", "message": "broken"}),
        ("ok", 42),
    ]
