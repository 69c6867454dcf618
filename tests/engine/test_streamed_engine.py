"""Models larger than the device: the engine streams them by itself, and accounts for it."""

from pathlib import Path

import pytest

from lmx.engine import (
    Engine,
    InvalidRequest,
    NeverFits,
    Sampling,
    estimate,
    fits_cap,
    stream_needs,
)
from tests.engine.conftest import N_CTX, MakeEngine
from tests.support.tiny import write_tiny_model

GREEDY = Sampling(temperature=0)
PROMPTS = ["The capital of France is", "One, two, three,", "A list of fruits:", "Water boils at"]


def texts(engine: Engine, model: Path) -> list[str]:
    requests = [
        engine.submit(model=model, prompt=prompt, max_tokens=6, n_ctx=N_CTX, sampling=GREEDY)
        for prompt in PROMPTS
    ]
    return [request.result(timeout=60).text for request in requests]


@pytest.fixture(scope="module")
def tight(model: Path) -> int:
    """A cap that holds the model's context and half of its layers."""
    needs = estimate(model, n_ctx=N_CTX, device="cpu")
    stream = stream_needs(model, device="cpu")
    assert stream is not None
    half = stream.layer_bytes[: len(stream.layer_bytes) // 2]
    context = needs.kv_bytes + needs.compute_bytes
    return context + stream.fixed_bytes + sum(half) + 2 * stream.slot_bytes


def test_a_model_that_does_not_fit_is_streamed_and_answers_the_same(
    model: Path, make_engine: MakeEngine, tight: int
) -> None:
    engine = make_engine(cap_bytes=tight, max_slots=1)
    expected = texts(make_engine(max_slots=1), model)
    assert texts(engine, model) == expected
    snapshot = engine.snapshot()
    (view,) = snapshot["models"]
    assert view["streaming"] is not None
    assert view["streaming"]["resident_layers"] == 15
    assert view["streaming"]["passes"] > 0
    assert snapshot["used"] == tight
    totals = snapshot["totals"]
    assert 0 < totals["streamed_bytes"] <= view["streaming"]["copied_bytes"]
    assert snapshot["rates"]["stream_bytes_per_s"] > 0


def test_each_byte_of_a_streamed_model_is_booked(
    model: Path, make_engine: MakeEngine, tight: int
) -> None:
    engine = make_engine(cap_bytes=tight)
    texts(engine, model)
    snapshot = engine.snapshot()
    (view,) = snapshot["models"]
    stream = view["streaming"]
    assert stream is not None
    assert snapshot["used"] <= tight
    assert snapshot["by_kind"]["stream_slots"] == stream["slot_bytes"]
    resident = snapshot["by_kind"]["weights"]
    assert resident + stream["host_bytes"] == estimate(model, device="cpu").weights_bytes


def test_what_waits_together_shares_the_passes(
    model: Path, make_engine: MakeEngine, tight: int
) -> None:
    engine = make_engine(cap_bytes=tight, max_slots=4)
    texts(engine, model)
    snapshot = engine.snapshot()
    assert snapshot["contexts"][0]["slots"] > 1
    tokens = snapshot["totals"]["completion_tokens"]
    (view,) = snapshot["models"]
    assert view["streaming"] is not None
    assert view["streaming"]["passes"] < tokens


def test_a_second_context_of_a_streamed_model_is_made_beside_a_stream(
    model: Path, make_engine: MakeEngine, endless: Sampling
) -> None:
    expected = texts(make_engine(max_slots=1), model)
    engine = make_engine(streaming="always", resident_layers=7, max_slots=1)
    stream = engine.submit(model=model, prompt="Hi", max_tokens=400, n_ctx=512, sampling=endless)
    next(iter(stream))
    assert texts(engine, model) == expected
    assert not stream.done
    assert len(engine.snapshot()["contexts"]) > 1
    stream.cancel()


def test_streaming_can_be_forced_and_switched_off(
    model: Path, make_engine: MakeEngine, tight: int
) -> None:
    forced = make_engine(streaming="always", resident_layers=7, stream_slots=3)
    forced.submit(model=model, prompt="Hi", max_tokens=1, n_ctx=N_CTX).result(timeout=60)
    (view,) = forced.snapshot()["models"]
    assert view["streaming"] is not None
    assert (view["streaming"]["resident_layers"], view["streaming"]["slots"]) == (7, 3)
    with pytest.raises(NeverFits):
        make_engine(cap_bytes=tight, streaming="off").submit(model=model, prompt="Hi", n_ctx=N_CTX)


def test_without_host_memory_for_its_layers_a_model_is_refused(
    model: Path, make_engine: MakeEngine, tight: int
) -> None:
    engine = make_engine(cap_bytes=tight, host_bytes=2**20)
    with pytest.raises(NeverFits):
        engine.submit(model=model, prompt="Hi", n_ctx=N_CTX)


def test_a_streamed_model_makes_room_and_comes_back(
    model: Path, larger_model: Path, make_engine: MakeEngine, tight: int
) -> None:
    engine = make_engine(cap_bytes=tight, max_slots=1)
    for path in (model, larger_model, model):
        engine.submit(model=path, prompt="Hi", max_tokens=2, n_ctx=N_CTX).result(timeout=60)
        assert engine.snapshot()["used"] <= tight
    assert [event["kind"] for event in engine.snapshot()["events"]].count("load") == 3


def test_a_request_on_a_streamed_model_can_be_cancelled(
    model: Path, make_engine: MakeEngine, tight: int, endless: Sampling
) -> None:
    engine = make_engine(cap_bytes=tight, max_slots=1)
    running = engine.submit(model=model, prompt="Hi", max_tokens=400, n_ctx=N_CTX, sampling=endless)
    next(iter(running))
    running.cancel()
    assert texts(engine, model)[0]


def test_a_model_that_cannot_be_streamed_is_refused_with_the_reason(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    tiny = write_tiny_model(tmp_path / "tiny.gguf", "llama", layers=1)
    assert stream_needs(tiny, device="cpu") is None
    engine = make_engine(cap_bytes=estimate(tiny, n_ctx=256, device="cpu").total_bytes - 1)
    with pytest.raises(NeverFits, match="not to be streamed: it has fewer than two layers"):
        engine.submit(model=tiny, prompt="Hi", n_ctx=256)


def test_a_cap_below_the_slots_is_refused(model: Path, tight: int) -> None:
    smallest = stream_needs(model, device="cpu")
    assert smallest is not None
    needs = estimate(model, n_ctx=N_CTX, device="cpu")
    least = needs.kv_bytes + needs.compute_bytes + smallest.fixed_bytes + 2 * smallest.slot_bytes
    assert fits_cap(model, least, n_ctx=N_CTX, device="cpu").verdict == "streamed"
    assert fits_cap(model, least - 1, n_ctx=N_CTX, device="cpu").verdict == "never"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"streaming": "perhaps"}, "streaming is 'perhaps'"),
        ({"resident_layers": -1}, "resident_layers is -1"),
        ({"stream_slots": 0}, "stream_slots is 0"),
    ],
)
def test_absurd_options_are_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        Engine(device="cpu", **options)  # type: ignore[arg-type]
