"""The soak's own judgement: what it lets pass and what it reports."""

from pathlib import Path
from typing import Any, cast

import pytest

from lmx.engine import Snapshot
from tests.soak import checks
from tests.soak.checks import MIB
from tests.soak.questions import Question, first_difference, make_questions


def snapshot(**changes: Any) -> Snapshot:
    plain = {
        "cap": 100,
        "used": 30,
        "ledger": [
            {"holder": "a.gguf", "kind": "weights", "bytes": 20},
            {"holder": "context 1", "kind": "kv", "bytes": 10},
        ],
        "models": [{"id": "a.gguf"}],
        "contexts": [{"id": "context 1", "active": 0}],
        "requests": [],
        "host": {"cap": 50, "used": 40},
    }
    return cast(Snapshot, plain | changes)


def test_an_engine_with_nothing_but_residents_is_at_rest() -> None:
    assert checks.at_rest(snapshot()) == []


def test_more_than_the_cap_is_reported() -> None:
    assert "over the cap of 25" in checks.always(snapshot(cap=25))[0]
    assert "host memory over 50" in checks.always(snapshot(host={"cap": 50, "used": 51}))[0]


def test_a_forgotten_request_hold_or_slot_is_reported() -> None:
    held = [*snapshot()["ledger"], {"holder": "hold: x", "kind": "foreign", "bytes": 5}]
    contexts = [{"id": "context 1", "active": 1}]
    busy = snapshot(requests=[{"id": 7}], ledger=held, used=35, contexts=contexts)
    faults = " ".join(checks.at_rest(busy))
    assert "request 7" in faults
    assert "hold: x holds 5 bytes" in faults
    assert "context 1 has 1 active" in faults


def test_memory_may_be_uneven_but_not_grow() -> None:
    uneven = [100 * MIB, 130 * MIB, 120 * MIB, 140 * MIB, 125 * MIB, 135 * MIB]
    assert checks.memory_trend(uneven) == []
    assert "keeps growing" in checks.memory_trend([i * 3 * MIB for i in range(15)])[0]
    assert "went from" in checks.memory_trend([100 * MIB, 100 * MIB, 160 * MIB])[0]


def test_descriptors_that_stay_behind_are_reported() -> None:
    assert checks.same_resources("descriptors", 9, 9) == []
    assert checks.same_resources("descriptors", 9, 10)


def test_a_difference_of_one_bit_is_found_and_placed() -> None:
    one = [["text", "stop", 2, [[5, "0x1.0p+0"], [6, "0x1.0p-1"]]]]
    other = [["text", "stop", 2, [[5, "0x1.0p+0"], [6, "0x1.1p-1"]]]]
    assert first_difference(one, one) == "none"
    assert "turn 0 at token 1" in first_difference(one, other)


def test_the_questions_of_a_seed_are_always_the_same() -> None:
    def questions(seed: int) -> list[Question]:
        models = [Path("a.gguf"), Path("b.gguf")]
        return make_questions(models, seed, count=lambda _, text: 2 * len(text.split()))

    assert questions(3) == questions(3) != questions(4)
    names = [question.name for question in questions(3)]
    assert len(names) == len(set(names))
    [long, _] = [q for q in questions(3) if q.name.startswith("long")]
    assert len(long.turns[0].split()) == pytest.approx(350, abs=2)
