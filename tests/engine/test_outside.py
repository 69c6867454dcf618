"""What others take of a device (holds, foreign processes), and what the engine tells of itself."""

from pathlib import Path

import pytest

from lmx.engine import Engine, NeverFits, Sampling, device_info, estimate
from tests.engine.conftest import N_CTX, MakeEngine
from tests.engine.test_admission import ask, evicted
from tests.support.eventually import eventually


def granted(engine: Engine) -> dict[str, bool]:
    return {hold["holder"]: hold["granted"] for hold in engine.snapshot()["holds"]}


def test_a_hold_evicts_what_is_idle(
    model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    ask(engine, model).result()
    engine.hold("train", room_for_one, "wait")
    eventually(lambda: granted(engine) == {"train": True}, "the hold")
    assert model.name in evicted(engine)
    assert engine.snapshot()["ledger"] == [
        {"holder": "hold: train", "kind": "foreign", "bytes": room_for_one}
    ]


def test_a_hold_waits_for_what_runs_and_later_requests_wait_behind_it(
    model: Path, room_for_one: int, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine(cap_bytes=room_for_one, patience_s=0)
    first = ask(engine, model, max_tokens=400, sampling=endless)
    assert first.poll(timeout=60)
    engine.hold("train", room_for_one, "wait")
    later = ask(engine, model)
    assert first.poll(timeout=60)
    assert granted(engine) == {"train": False}
    assert later.phase == "queued"
    first.cancel()
    eventually(lambda: granted(engine) == {"train": True}, "the hold")
    assert later.phase == "queued"
    engine.release("train")
    assert later.result().completion_tokens == 4


def test_a_hold_that_is_given_up_while_it_waits_is_forgotten(
    model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    engine.hold("first", room_for_one)
    engine.hold("second", room_for_one, "wait")
    engine.release("second")
    engine.release("first")
    ask(engine, model).result()
    assert granted(engine) == {}


def test_a_hold_larger_than_the_cap_is_refused_with_three_numbers(make_engine: MakeEngine) -> None:
    engine = make_engine(cap_bytes=1000)
    engine.hold("one", 300)
    with pytest.raises(NeverFits) as refusal:
        engine.hold("two", 1001, "wait")
    assert (refusal.value.needs, refusal.value.cap, refusal.value.free) == (1001, 1000, 700)


def test_a_hold_may_be_a_fact_beyond_the_cap(make_engine: MakeEngine) -> None:
    engine = make_engine(cap_bytes=1000)
    engine.hold("taken before this engine began", 1500, "fact")
    snapshot = engine.snapshot()
    assert (snapshot["used"], snapshot["free"]) == (1500, 0)


def test_a_foreign_allocation_makes_requests_wait_and_its_end_wakes_them(
    model: Path, make_engine: MakeEngine
) -> None:
    need = estimate(model, n_ctx=N_CTX).total_bytes
    engine = make_engine(cap_bytes=need)
    engine.see(None, [("game (77)", 1, "")])
    waiting = ask(engine, model)
    assert waiting.poll(timeout=0.2) is None
    assert waiting.phase == "queued"
    engine.see(None, [])
    assert waiting.result().wait_s > 0


def test_what_runs_under_a_hold_is_not_counted_twice(make_engine: MakeEngine) -> None:
    engine = make_engine(cap_bytes=1000)
    engine.hold("train", 400)
    engine.see(None, [("train (77)", 300, "train"), ("game (78)", 100, "")])
    assert engine.snapshot()["used"] == 500
    engine.see(None, [("train (77)", 450, "train")])
    assert engine.snapshot()["used"] == 450


def test_rates_tell_of_the_last_seconds(model: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    assert engine.snapshot()["rates"]["batch"] == 0
    requests = [ask(engine, model, max_tokens=24) for _ in range(3)]
    results = [request.result() for request in requests]
    rates = engine.snapshot()["rates"]
    made = sum(result.completion_tokens for result in results)
    assert rates["completion_tokens_per_s"] * rates["window_s"] == pytest.approx(made)
    prompts = sum(result.prompt_tokens for result in results)
    assert rates["prefill_tokens_per_s"] * rates["window_s"] == pytest.approx(prompts)
    assert 1 <= rates["batch"] <= 3
    assert 0 < rates["busy"] <= 1


def test_a_processor_has_no_driver_that_counts_and_no_bus(make_engine: MakeEngine) -> None:
    assert make_engine().snapshot()["in_use"] is None
    info = device_info("cpu")
    assert info.description
    assert info.pci_bus_id is None
