"""`lmx enqueue --when cheap`, `lmx show`, `lmx batches`: what waits, where, and until when."""

import json
from collections.abc import Iterator

import pytest

from lmx.workflows.database.connect import Database
from tests.support.batches import Batching
from tests.support.command import Lmx, register
from tests.support.rehearsed import HAIKU, Rehearsed, profile

CHEAP = ("enqueue", "--model", HAIKU, "--when", "cheap", "--max-tokens", "50")


@pytest.fixture(scope="module")
def provider() -> Iterator[Rehearsed]:
    with Rehearsed(profile()) as server:
        yield server


@pytest.fixture
def lane(database: Database, provider: Rehearsed) -> Iterator[Batching]:
    """A lane that sends as soon as two calls wait; batches take an hour."""
    provider.pace_batches(seconds=3600)
    lane = Batching(database, "anthropic", provider.url, enough=2)
    yield lane
    lane.close()


def test_a_patient_call_is_followed_from_its_queue_to_its_answer(
    lane: Batching, lmx: Lmx, provider: Rehearsed
) -> None:
    task = lmx(*CHEAP, "Count.").out.strip()
    lane.round()
    assert "waiting for others to go in a batch with it, until " in lmx("show", task).out
    assert "gathering a batch" in lmx("limits", "haiku:batch").out
    empty = lmx("batches")
    assert (empty.code, empty.out) == (0, "")
    assert "--when cheap" in empty.err
    lmx(*CHEAP, "Count on.")
    lane.round()
    shown = lmx("show", task).out
    assert "in batch 1 since " in shown
    assert " at the latest" in shown
    line = lmx("batches").out.rstrip("\n").split("\t")
    assert line[1:8] == ["anthropic/default/haiku:batch", HAIKU, "processing", "2", "2", "0", "0"]
    provider.pace_batches(seconds=0)
    lane.round()
    assert lmx("batches").out == ""
    (ended,) = json.loads(lmx("batches", "--all", "--json").out)
    assert (ended["state"], ended["succeeded"]) == ("ended", 2)
    assert "batched: batch 1" in lmx("logs", task).out
    assert lmx("wait", task).code == 0


def test_what_cannot_wait_is_refused_in_one_line(lane: Batching, lmx: Lmx) -> None:
    hurried = lmx(*CHEAP, "--deadline", "3600", "Count.")
    assert hurried.code == 2
    assert "a batch may take 24 h, but the call has 1 h until its deadline" in hurried.err
    assert lmx("enqueue", "--model", HAIKU, "--when", "soon", "Count.").code == 2
    assert lmx("enqueue", "--function", "call", "--when", "cheap", "x").code == 2


def test_a_local_model_s_patient_call_goes_after_all_others(lane: Batching, lmx: Lmx) -> None:
    register(lane.hands, "tiny")
    lmx("enqueue", "--model", "tiny", "--raw", "--when", "cheap", "Count.")
    assert lane.row("SELECT queue, priority FROM lmx.tasks") == ("gpu", -1000)
