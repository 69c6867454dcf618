"""Sessions leave their slots for host memory and files, and come back without a prefill."""

import signal
import subprocess
import sys
from pathlib import Path

from lmx.engine import Engine, Result, Sampling, Snapshot
from tests.engine.conftest import N_CTX, MakeEngine
from tests.engine.test_sessions import OTHER, STORY, ask

MIB = 2**20


def prompt_of(name: str) -> str:
    return f"{name} said: {STORY}"


def events(snapshot: Snapshot, kind: str) -> list[str]:
    return [event["reason"] for event in snapshot["events"] if event["kind"] == kind]


def ask_all(engine: Engine, model: Path, sampling: Sampling, names: str) -> list[Result]:
    return [ask(engine, model, sampling, prompt_of(name), name) for name in names]


def test_more_sessions_than_slots_are_swapped_and_nothing_is_prefilled_twice(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine(max_slots=2, host_bytes=256 * MIB)
    first = ask_all(engine, model, endless, "ABC")
    again = ask_all(engine, model, endless, "ABC")
    assert [result.text for result in again] == [result.text for result in first]
    assert all(result.cached_tokens == result.prompt_tokens - 1 for result in again)
    snapshot = engine.snapshot()
    swaps = snapshot["totals"]["swaps"]
    assert swaps["out"] >= 4
    assert swaps["into"] == 3
    assert swaps["out_bytes"] > 0
    assert swaps["out_s"] > 0
    assert "its slot is for request" in events(snapshot, "swap_out")[0]
    host = snapshot["host"]
    assert host["by_kind"]["kv"] == host["used"]
    assert 0 < host["used"] <= host["cap"] == 256 * MIB


def test_sessions_that_begin_alike_do_not_cut_each_other_down(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    """The only slot goes from one to the other, the common beginning stays in it."""
    engine = make_engine(max_slots=1, host_bytes=256 * MIB)
    prompts = {name: f"{STORY}{name} said: {OTHER}" for name in "AB"}
    first = [ask(engine, model, endless, prompts[name], name) for name in "AB"]
    assert 0 < first[1].cached_tokens < first[1].prompt_tokens - 1
    again = ask(engine, model, endless, prompts["A"], "A")
    assert again.cached_tokens == again.prompt_tokens - 1
    assert again.text == first[0].text


def test_without_room_on_the_host_a_session_is_lost_and_computed_again(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine(max_slots=1, host_bytes=0)
    first = ask_all(engine, model, endless, "AB")
    again = ask_all(engine, model, endless, "AB")
    assert [result.text for result in again] == [result.text for result in first]
    assert engine.snapshot()["totals"]["swaps"]["refused"] == 3


def test_an_evicted_models_sessions_are_kept(
    model: Path,
    larger_model: Path,
    make_engine: MakeEngine,
    endless: Sampling,
    room_for_one: int,
) -> None:
    engine = make_engine(cap_bytes=room_for_one, host_bytes=256 * MIB)
    first = ask(engine, model, endless, prompt_of("A"), "A")
    ask(engine, larger_model, endless, "Hello", max_tokens=2)
    again = ask(engine, model, endless, prompt_of("A"), "A")
    assert engine.snapshot()["totals"]["evictions"] >= 2
    assert again.cached_tokens == again.prompt_tokens - 1
    assert again.text == first.text


def test_a_session_goes_on_in_a_context_with_another_number_of_slots(
    model: Path,
    larger_model: Path,
    make_engine: MakeEngine,
    endless: Sampling,
    room_for_one: int,
    tmp_path: Path,
) -> None:
    def engine(max_slots: int) -> Engine:
        return make_engine(max_slots=max_slots, host_bytes=256 * MIB, spill_dir=tmp_path)

    with engine(max_slots=4) as before:
        for name in "ABC":
            first = ask(before, model, endless, prompt_of(name), name)
        assert before.snapshot()["contexts"][0]["slots"] == 4
    with engine(max_slots=1) as after:
        again = ask(after, model, endless, prompt_of("C"), "C")
    assert again.cached_tokens == again.prompt_tokens - 1
    assert again.text == first.text


def test_a_new_engine_finds_the_sessions_of_the_last(
    model: Path, make_engine: MakeEngine, endless: Sampling, tmp_path: Path
) -> None:
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        first = ask_all(engine, model, endless, "AB")
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        again = ask_all(engine, model, endless, "AB")
        assert engine.snapshot()["host"]["restores"] == 2
    assert all(result.cached_tokens == result.prompt_tokens - 1 for result in again)
    assert [result.text for result in again] == [result.text for result in first]


def test_a_damaged_file_is_found_out_and_the_session_computed_again(
    model: Path, make_engine: MakeEngine, endless: Sampling, tmp_path: Path
) -> None:
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        first = ask(engine, model, endless, prompt_of("A"), "A")
    (file,) = [path for path in tmp_path.rglob("*") if path.stat().st_size > MIB]
    with file.open("r+b") as damaged:
        damaged.seek(file.stat().st_size // 2)
        damaged.write(b"not what was there")
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        again = ask(engine, model, endless, prompt_of("A"), "A")
        assert engine.snapshot()["host"]["damaged"] == 1
    assert again.cached_tokens == 0
    assert again.text == first.text


def test_a_forgotten_session_leaves_nothing_behind(
    model: Path, make_engine: MakeEngine, endless: Sampling, tmp_path: Path
) -> None:
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        ask_all(engine, model, endless, "AB")
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        ask(engine, model, endless, prompt_of("B"), "B")
        engine.forget("A")
        engine.forget("B")
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        assert engine.snapshot()["host"]["saved"] == []


def test_a_prompt_that_begins_like_a_running_one_copies_its_beginning(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    engine = make_engine(host_bytes=256 * MIB)
    running = engine.submit(
        model=model, prompt=STORY, max_tokens=300, n_ctx=N_CTX, sampling=endless
    )
    assert running.poll(timeout=60)
    branch = STORY + "Meanwhile"

    def first_token(engine: Engine) -> Result:
        return engine.submit(
            model=model, prompt=branch, max_tokens=1, n_ctx=N_CTX, sampling=endless, logprobs=5
        ).result()

    second = first_token(engine)
    running.cancel()
    assert second.cached_tokens > 100
    assert engine.snapshot()["totals"]["swaps"]["copies"] == 1
    alone = first_token(make_engine())
    assert second.logprobs and alone.logprobs
    copied = {one.token: one.logprob for one in second.logprobs[0].top}
    fresh = {one.token: one.logprob for one in alone.logprobs[0].top}
    both = copied.keys() & fresh.keys()
    assert len(both) >= 3
    assert all(abs(copied[token] - fresh[token]) < 0.15 for token in both)  # other chunks


SESSION_THEN_KILL = """
import os, signal, sys, time
from lmx.engine import Engine

model, folder, prompt = sys.argv[1:]
options = {"max_slots": 1, "host_bytes": 4 * 2**20, "spill_dir": folder}
with Engine(device="cpu", threads=1, **options) as engine:
    for name in "AB":
        call = {"prompt": prompt + name, "session": name, "max_tokens": 2, "n_ctx": 512}
        engine.submit(model=model, **call).result()
    while engine.snapshot()["host"]["spills"] == 0:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_in_a_file_survives_kill_9(
    model: Path, make_engine: MakeEngine, endless: Sampling, tmp_path: Path
) -> None:
    """Session A had to leave the only slot, and host memory was short."""
    command = [sys.executable, "-c", SESSION_THEN_KILL, str(model), str(tmp_path), STORY]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    with make_engine(host_bytes=256 * MIB, spill_dir=tmp_path) as engine:
        (saved,) = engine.snapshot()["host"]["saved"]
        again = ask(engine, model, endless, STORY + "A", "A")
    assert (saved["session"], saved["where"]) == ("A", "disk")
    assert again.cached_tokens == again.prompt_tokens - 1
