"""Dramatiq's limits on time, age and concurrency hold."""

import asyncio
import threading
import time

import pytest
from dramatiq import Middleware
from dramatiq.middleware import AsyncIO, TimeLimit, TimeLimitExceeded
from dramatiq.rate_limits import (
    Barrier,
    BucketRateLimiter,
    ConcurrentRateLimiter,
    WindowRateLimiter,
)

from tests.broker_conformance.subject import Subject


@pytest.fixture
def middleware() -> list[Middleware]:
    return [AsyncIO()]


@pytest.mark.leaves_open("Dramatiq's watch over time limits never ends")
def test_an_actor_that_takes_too_long_is_interrupted(subject: Subject) -> None:
    # Given the watch over time limits, looking often
    limit = next(m for m in subject.broker.middleware if isinstance(m, TimeLimit))
    vars(limit.manager)["interval"] = 0.005
    limit.after_process_boot(subject.broker)
    ended: list[type[BaseException]] = []

    def endless() -> None:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                pass
        except TimeLimitExceeded:
            ended.append(TimeLimitExceeded)
            raise

    # When an actor runs past its limit
    actor = subject.actor(endless, time_limit=50, max_retries=0)
    actor.send()
    subject.process()

    # Then it is interrupted and its message has failed
    assert ended == [TimeLimitExceeded]
    assert len(subject.dead_letters()) == 1


def test_a_message_that_is_too_old_is_not_processed(subject: Subject) -> None:
    seen: list[int] = []
    actor = subject.actor(seen.append, actor_name="append", max_age=1000)
    old = actor.message(1).copy(message_timestamp=int(time.time() * 1000) - 60_000)
    subject.broker.enqueue(old)
    actor.send(2)
    subject.process()
    assert seen == [2]
    assert [letter.args for letter in subject.dead_letters()] == [(1,)]


def test_async_actors_work(subject: Subject) -> None:
    # Given an async actor
    seen: list[str] = []

    async def greet(name: str) -> None:
        await asyncio.sleep(0)
        seen.append(name)

    actor = subject.actor(greet)

    # When it is sent to
    actor.send("you")
    subject.process()

    # Then it ran
    assert seen == ["you"]


def test_a_mutex_admits_one_at_a_time(subject: Subject) -> None:
    # Given a limiter of one
    inside, most = 0, 0
    lock = threading.Lock()
    mutex = ConcurrentRateLimiter(subject.limits, "mutex", limit=1)

    def work() -> None:
        nonlocal inside, most
        with mutex.acquire():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.001)
            with lock:
                inside -= 1

    # When many messages want in at once, trying again until they are
    actor = subject.actor(work, max_retries=None, min_backoff=1, max_backoff=10)
    for _ in range(10):
        actor.send()
    subject.process(threads=4)

    # Then no two were inside together
    assert most == 1
    assert subject.dead_letters() == []


def test_a_bucket_admits_its_limit(subject: Subject) -> None:
    bucket = BucketRateLimiter(subject.limits, "bucket", limit=2, bucket=60_000)
    admitted = []
    for _ in range(4):
        with bucket.acquire(raise_on_failure=False) as acquired:
            admitted.append(acquired)
    assert admitted[:2] == [True, True]
    assert admitted.count(True) in (2, 4)  # 4 only if the minute has just changed


def test_a_window_admits_its_limit(subject: Subject) -> None:
    window = WindowRateLimiter(subject.limits, "window", limit=3, window=60)
    admitted = []
    for _ in range(5):
        with window.acquire(raise_on_failure=False) as acquired:
            admitted.append(acquired)
    assert admitted == [True, True, True, False, False]


def test_a_barrier_opens_for_the_last_to_arrive(subject: Subject) -> None:
    barrier = Barrier(subject.limits, "barrier", ttl=30_000)
    assert barrier.create(parties=3)
    assert not barrier.create(parties=3)
    assert [barrier.wait(block=False) for _ in range(3)] == [False, False, True]


def test_a_barrier_can_be_waited_for(subject: Subject) -> None:
    # Given a party that waits at a barrier of two
    barrier = Barrier(subject.limits, "barrier", ttl=30_000)
    barrier.create(parties=2)
    passed: list[bool] = []
    arriving = threading.Event()

    def wait() -> None:
        arriving.set()
        passed.append(bool(barrier.wait(timeout=20_000)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    arriving.wait(20)
    time.sleep(0.05)  # the stub loses a notification that comes before the wait

    # When the second one arrives
    while barrier.wait(block=False) is False:
        pass
    waiting.join(20)

    # Then both pass
    assert passed == [True]


def test_limits_expire(subject: Subject) -> None:
    assert subject.limits.add("key", 1, 30)
    assert not subject.limits.add("key", 1, 30)
    time.sleep(0.05)  # expiry is measured in time, so time must pass
    assert subject.limits.add("key", 1, 30)
