"""Results of actors can be fetched by whoever holds the message."""

import pytest
from dramatiq.results import ResultFailure, ResultMissing, ResultTimeout

from tests.broker_conformance.subject import Subject


def test_a_stored_result_can_be_fetched(subject: Subject) -> None:
    actor = subject.actor(lambda a, b: {"sum": a + b}, actor_name="add", store_results=True)
    sent = actor.send(1, 2)
    subject.process()
    assert sent.get_result(backend=subject.results) == {"sum": 3}
    assert sent.get_result(backend=subject.results) == {"sum": 3}, "a result can be read again"


def test_a_result_can_be_waited_for(subject: Subject) -> None:
    actor = subject.actor(lambda: "here", actor_name="here", store_results=True)
    with subject.worker():
        assert subject.result(actor.send()) == "here"


def test_none_is_a_result(subject: Subject) -> None:
    actor = subject.actor(lambda: None, actor_name="nothing", store_results=True)
    sent = actor.send()
    subject.process()
    assert sent.get_result(backend=subject.results) is None


def test_a_result_that_is_not_there_yet_is_missing(subject: Subject) -> None:
    actor = subject.actor(lambda: 1, actor_name="one", store_results=True)
    with pytest.raises(ResultMissing):
        actor.send().get_result(backend=subject.results)


def test_waiting_for_a_result_times_out(subject: Subject) -> None:
    actor = subject.actor(lambda: 1, actor_name="one", store_results=True)
    with pytest.raises(ResultTimeout):
        actor.send().get_result(backend=subject.results, block=True, timeout=50)


def test_results_are_not_kept_unless_asked_for(subject: Subject) -> None:
    actor = subject.actor(lambda: 1, actor_name="one")
    sent = actor.send()
    subject.process()
    with pytest.raises(ResultMissing):
        sent.get_result(backend=subject.results)


def test_the_result_of_a_failed_message_is_its_error(subject: Subject) -> None:
    def fail() -> None:
        raise ValueError("broken")

    actor = subject.actor(fail, store_results=True, max_retries=0)
    with subject.worker(), pytest.raises(ResultFailure, match="actor raised ValueError: broken"):
        subject.result(actor.send())


def test_a_result_comes_after_the_retries(subject: Subject) -> None:
    attempts: list[int] = []

    def flaky() -> str:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError
        return "at last"

    actor = subject.actor(flaky, store_results=True, min_backoff=1, max_backoff=5)
    with subject.worker():
        assert subject.result(actor.send()) == "at last"


def test_results_expire(subject: Subject) -> None:
    actor = subject.actor(lambda: 1, actor_name="one", store_results=True, result_ttl=1)
    sent = actor.send()
    subject.process()
    with pytest.raises((ResultMissing, ResultTimeout)):
        while True:
            sent.get_result(backend=subject.results)
