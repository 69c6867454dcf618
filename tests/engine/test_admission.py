"""Memory: requests wait for it, idle models make room, and the cap is never passed."""

import threading
from collections.abc import Collection
from pathlib import Path

import pytest

from lmx.engine import (
    Engine,
    Fit,
    InvalidRequest,
    ModelFileError,
    NeverFits,
    NoRoom,
    Request,
    Sampling,
    Wanted,
    estimate,
)
from tests.engine.conftest import N_CTX, MakeEngine


def ask(engine: Engine, model: Path, max_tokens: int = 4, **options: object) -> Request:
    return engine.submit(
        model=model,
        prompt="Once upon a time",
        max_tokens=max_tokens,
        n_ctx=N_CTX,
        **options,  # type: ignore[arg-type]
    )


def plan(engine: Engine, *jobs: Wanted, aged: Collection[str] = ()) -> list[Fit]:
    """The planner's answers, all of which are about good files."""
    fits = engine.plan(jobs, aged=aged)
    return [fit for fit in fits if isinstance(fit, Fit)]


def evicted(engine: Engine) -> list[str]:
    events = engine.snapshot()["events"]
    return [Path(event["subject"]).name for event in events if event["kind"] == "evict"]


def test_a_request_larger_than_the_cap_is_refused_with_three_numbers(
    model: Path, make_engine: MakeEngine
) -> None:
    needs = estimate(model, n_ctx=N_CTX).total_bytes
    engine = make_engine(cap_bytes=needs - 1, streaming="off")
    with pytest.raises(NeverFits, match="can never fit: it needs 1") as refusal:
        ask(engine, model)
    assert (refusal.value.needs, refusal.value.cap) == (needs, needs - 1)
    assert refusal.value.free == needs - 1
    assert engine.fits(model, N_CTX).verdict == "never"


def test_a_cap_of_exactly_the_need_is_enough(model: Path, make_engine: MakeEngine) -> None:
    engine = make_engine(cap_bytes=estimate(model, n_ctx=N_CTX).total_bytes)
    assert ask(engine, model).result().completion_tokens == 4
    assert engine.snapshot()["free"] == 0


def test_the_second_model_waits_for_the_first_and_is_then_served(
    model: Path,
    larger_model: Path,
    room_for_one: int,
    make_engine: MakeEngine,
    endless: Sampling,
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    first = ask(engine, model, max_tokens=400, sampling=endless)
    assert first.poll(timeout=60)
    second = ask(engine, larger_model)
    assert first.poll(timeout=60)
    assert second.phase == "queued"
    assert engine.fits(larger_model, N_CTX).verdict == "wait"
    first.cancel()
    assert second.result().wait_s > 0
    assert [Path(view["path"]).name for view in engine.snapshot()["models"]] == [larger_model.name]
    assert evicted(engine)[-1] == model.name
    assert engine.snapshot()["events"][-3]["reason"].startswith("to make room for request 2")


def test_weights_stay_while_there_is_room(model: Path, make_engine: MakeEngine) -> None:
    engine = make_engine()
    ask(engine, model).result()
    again = ask(engine, model).result()
    kinds = [event["kind"] for event in engine.snapshot()["events"]]
    assert kinds == ["load", "context"]
    assert again.load_s == 0


def test_requests_of_one_model_share_its_weights(model: Path, make_engine: MakeEngine) -> None:
    one = estimate(model, n_ctx=N_CTX)
    engine = make_engine(cap_bytes=one.total_bytes + 3 * (one.total_bytes - one.weights_bytes))
    requests = [ask(engine, model, max_tokens=12) for _ in range(6)]
    assert all(request.result().completion_tokens <= 12 for request in requests)
    snapshot = engine.snapshot()
    assert snapshot["by_kind"]["weights"] == one.weights_bytes
    assert [event["kind"] for event in snapshot["events"]].count("load") == 1


def test_two_models_take_turns_until_all_are_served(
    model: Path, larger_model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one, patience_s=0)
    requests = [ask(engine, path) for path in (model, larger_model) * 3]
    assert all(request.result(timeout=60).text for request in requests)
    assert engine.snapshot()["used"] <= room_for_one


def test_a_pinned_model_is_not_evicted(
    model: Path, larger_model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    engine.pin(model)
    ask(engine, model).result()
    waiting = ask(engine, larger_model)
    assert engine.fits(larger_model, N_CTX).verdict == "wait"
    assert ask(engine, model).result().text
    assert waiting.phase == "queued"
    engine.unpin(model)
    assert waiting.result().text


def test_a_hold_counts_and_its_release_lets_requests_start(
    model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    engine.hold("training", room_for_one // 2)
    with pytest.raises(NoRoom) as refusal:
        engine.hold("another", room_for_one)
    assert refusal.value.free == room_for_one - room_for_one // 2
    request = ask(engine, model)
    assert engine.fits(model, N_CTX).verdict == "wait"
    assert not request.done
    assert engine.release("training") == room_for_one // 2
    assert request.result().text


def test_a_plan_counts_the_jobs_before_each(
    model: Path, larger_model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    fits = plan(
        engine,
        Wanted("1", model, N_CTX),
        Wanted("2", larger_model, N_CTX),
        Wanted("3", model, 8192),
    )
    assert [fit.verdict for fit in fits] == ["now", "wait", "never"]
    assert [fit.job for fit in fits] == ["1", "2", "3"]
    ask(engine, model).result()
    [fit] = plan(engine, Wanted("4", larger_model, N_CTX))
    assert fit.verdict == "after_eviction"
    assert [Path(name).name for name in fit.evict][-1] == model.name


def test_a_job_of_a_plan_that_cannot_be_asked_about_fails_alone(
    model: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    files = (tmp_path / "none.gguf", N_CTX), (model, N_CTX), (model, 10**6)
    jobs = [Wanted(str(number), *asked) for number, asked in enumerate(files, start=1)]
    missing, good, too_long = engine.plan(jobs)
    assert isinstance(missing, ModelFileError)
    assert isinstance(good, Fit)
    assert (good.job, good.verdict) == ("2", "now")
    assert isinstance(too_long, InvalidRequest)


def test_a_resident_model_is_asked_again_before_another_takes_its_place(
    model: Path, larger_model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one)
    ask(engine, model).result()
    jobs = [Wanted("1", larger_model, N_CTX), Wanted("2", model, N_CTX)]
    assert [fit.verdict for fit in plan(engine, *jobs)] == ["wait", "now"]
    fits = plan(engine, *jobs, aged=["1"])
    assert [fit.verdict for fit in fits] == ["after_eviction", "wait"]
    assert [fit.turn for fit in fits] == [0, 1]


def test_a_model_that_disappears_fails_its_request_and_frees_its_bytes(
    model: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    path = tmp_path / "copy.gguf"
    path.write_bytes(model.read_bytes())
    engine.hold("everything", engine.snapshot()["free"])
    request = ask(engine, path)
    path.unlink()
    engine.release("everything")
    with pytest.raises(Exception, match="No such file"):
        request.result()
    assert engine.snapshot()["used"] == 0


def test_many_threads_share_a_device_that_holds_one_model(
    model: Path, larger_model: Path, room_for_one: int, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=room_for_one, patience_s=0.1)
    used: list[int] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(2):
                path = larger_model if (number + turn) % 4 == 0 else model
                request = ask(engine, path, max_tokens=6)
                assert "".join(request) == request.result().text
                used.append(engine.snapshot()["used"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(used) == 16
    assert max(used) <= room_for_one
    assert engine.snapshot()["totals"]["finished"] == 16
