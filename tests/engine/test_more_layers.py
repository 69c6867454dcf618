"""A streamed model uses what room there is: larger bites of a prompt, and more layers later on."""

from pathlib import Path

import pytest

from lmx.engine import Engine, Request, Result, Sampling, StreamNeeds, estimate, stream_needs
from tests.engine.conftest import MakeEngine
from tests.support.tiny import write_tiny_model

LAYERS = 24
N_CTX = 1024
GREEDY = Sampling(temperature=0)
LONG = "one two three four five six seven eight nine ten " * 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most of its bytes are in its layers."""
    path = tmp_path_factory.mktemp("models") / "deep.gguf"
    return write_tiny_model(path, "llama", layers=LAYERS, heads=8, kv_heads=2, head=32, feed=1024)


@pytest.fixture(scope="module")
def needs(tiny: Path) -> StreamNeeds:
    found = stream_needs(tiny, device="cpu")
    assert found is not None
    return found


def cap_for(tiny: Path, needs: StreamNeeds, resident: int, n_ubatch: int = 512) -> int:
    """What so many resident layers take beside one context."""
    whole = estimate(tiny, n_ctx=N_CTX, n_ubatch=n_ubatch, device="cpu")
    layers = sum(needs.layer_bytes[:resident])
    return whole.kv_bytes + whole.compute_bytes + needs.fixed_bytes + 2 * needs.slot_bytes + layers


def resident_layers(engine: Engine) -> int | None:
    (model,) = engine.snapshot()["models"]
    return model["streaming"] and model["streaming"]["resident_layers"]


def run(engine: Engine, tiny: Path, **options: object) -> Result:
    request = engine.submit(
        model=tiny,
        prompt=LONG,
        max_tokens=1,
        n_ctx=N_CTX,
        logprobs=2,
        **options,  # type: ignore[arg-type]
    )
    return request.result(timeout=60)


def same_bits(one: Result, other: Result) -> bool:
    return (one.text, one.logprobs) == (other.text, other.logprobs)


def test_layers_come_back_when_there_is_room_and_what_runs_goes_on(
    tiny: Path, needs: StreamNeeds, make_engine: MakeEngine
) -> None:
    def begin(engine: Engine) -> Request:
        return engine.submit(
            model=tiny, prompt="Once", max_tokens=600, n_ctx=N_CTX, sampling=GREEDY
        )

    expected = begin(make_engine()).result(timeout=60).text
    engine = make_engine(
        cap_bytes=cap_for(tiny, needs, 20), max_slots=1, patience_s=0.0, quantum_s=0.0
    )
    engine.hold("a game", sum(needs.layer_bytes[:18]))
    request = begin(engine)
    next(iter(request))
    assert resident_layers(engine) == 2
    engine.release("a game")
    assert request.result(timeout=60).text == expected
    assert resident_layers(engine) == 20
    events = [event for event in engine.snapshot()["events"] if event["kind"] == "evict"]
    assert {event["reason"] for event in events} == {"there is room for more of its layers"}
    assert engine.snapshot()["used"] <= engine.snapshot()["cap"]


def test_a_long_prompt_passes_over_a_streamed_model_in_large_bites(
    tiny: Path, needs: StreamNeeds, make_engine: MakeEngine
) -> None:
    cap = cap_for(tiny, needs, 1, n_ubatch=N_CTX)
    passes = []
    for n_ubatch in (None, 256):
        engine = make_engine(cap_bytes=cap, max_slots=1)
        result = run(engine, tiny, sampling=GREEDY, n_ubatch=n_ubatch)
        (model,) = engine.snapshot()["models"]
        assert model["streaming"] is not None
        passes.append(model["streaming"]["passes"])
        resident = run(make_engine(), tiny, sampling=GREEDY, n_ubatch=n_ubatch or N_CTX)
        assert same_bits(result, resident)
        assert engine.snapshot()["used"] <= cap
    assert passes == [1, 3]  # for the whole prompt, or for each 256 of its 605 tokens


def test_larger_bites_do_not_change_deterministic_bits(
    tiny: Path, needs: StreamNeeds, make_engine: MakeEngine
) -> None:
    engine = make_engine(cap_bytes=cap_for(tiny, needs, 1, n_ubatch=N_CTX), max_slots=1)
    sampling = Sampling(temperature=0.9, seed=3)
    first = run(engine, tiny, sampling=sampling)  # makes the context, which is a wide one
    result = run(engine, tiny, sampling=sampling, mode="deterministic", session="other")
    assert len(engine.snapshot()["contexts"]) == 1
    assert first.prompt_tokens > 512
    alone = run(make_engine(), tiny, sampling=sampling, mode="deterministic")
    assert same_bits(result, alone)
