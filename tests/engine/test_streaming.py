"""Streamed layers: the bits of the resident run, from a slot that shows every stale read."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lmx.engine import EngineError, _core, estimate
from tests.support.models import model_variant
from tests.support.tiny import GENERATORS, write_tiny_model

LAYERS = 30  # of SmolLM2
Lab = _core.StreamLab
Step = Sequence[tuple[int, int, int, bool]]


def context(
    lab: Lab, n_ctx: int = 256, n_seq: int = 1, n_ubatch: int = 512, kv_type: str = "f16"
) -> int:
    return lab.add_context(_core.ContextSpec(n_ctx, n_seq, kv_type, n_ubatch, "auto"))


def prompt(length: int, sequence: int = 0) -> Step:
    last = length - 1
    return [(100 + 7 * i + sequence, i, sequence, i == last) for i in range(length)]


def following(position: int, sequences: int = 1) -> Step:
    return [(500 + position + s, position, s, True) for s in range(sequences)]


def run(lab: Lab, steps: Sequence[Step], index: int) -> list[bytes]:
    rows: list[bytes] = []
    for step in steps:
        status, logits = lab.decode(index, step)
        assert status == 0
        rows += logits
    return rows


GENERATION = [prompt(8), following(8), following(9)]


@pytest.fixture(scope="module")
def resident(model: Path) -> Lab:
    return Lab(str(model), None)


@pytest.fixture(scope="module")
def expected(resident: Lab) -> list[bytes]:
    return run(resident, GENERATION, context(resident))


@pytest.mark.parametrize(
    ("n_resident", "slots"), [(0, 2), (0, 3), (7, 2), (15, 1), (15, 3), (LAYERS - 1, 2)]
)
def test_streamed_layers_compute_the_same_bits(
    model: Path, expected: list[bytes], n_resident: int, slots: int
) -> None:
    lab = Lab(str(model), n_resident, slots=slots, poison=True)
    assert run(lab, GENERATION, context(lab)) == expected
    assert lab.counters()["passes"] == len(GENERATION)


@pytest.mark.parametrize("weights", ["Q8_0", "Q4_0", "Q4_K_M", "F16"])
def test_formats_that_the_library_rearranges_keep_their_bits(
    weights: str, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    file = str(model_variant(Path(pytestconfig.cache.mkdir("models")), weights))
    whole = Lab(file, None)
    streamed = Lab(file, 10, poison=True)
    assert run(streamed, GENERATION, context(streamed)) == run(whole, GENERATION, context(whole))


def test_a_whole_batch_is_served_by_one_pass(model: Path, resident: Lab) -> None:
    lab = Lab(str(model), 10, poison=True)
    for sequences in (2, 8):
        steps = [
            [token for s in range(sequences) for token in prompt(3, s)],
            *(following(3 + i, sequences) for i in range(2)),
        ]
        before = lab.counters()
        rows = run(lab, steps, context(lab, n_seq=sequences))
        assert rows == run(resident, steps, context(resident, n_seq=sequences))
        assert lab.counters()["passes"] - before["passes"] == len(steps)


def test_a_long_prompt_takes_several_passes(model: Path, resident: Lab) -> None:
    steps = [prompt(40)[at : at + 16] for at in range(0, 40, 16)] + [following(40)]
    lab = Lab(str(model), 4, poison=True)
    small = {"n_ubatch": 16, "kv_type": "q8_0"}
    rows = run(lab, steps, context(lab, **small))  # type: ignore[arg-type]
    assert rows == run(resident, steps, context(resident, **small))  # type: ignore[arg-type]
    assert lab.counters()["passes"] == 4


def test_two_contexts_share_the_slots(model: Path, resident: Lab) -> None:
    lab = Lab(str(model), 10, poison=True)
    pair = (context(lab), context(lab))
    other = [prompt(5), following(5), following(6)]
    rows: dict[int, list[bytes]] = {index: [] for index in pair}
    for mine, theirs in zip(GENERATION, other, strict=True):
        rows[pair[0]] += run(lab, [mine], pair[0])
        rows[pair[1]] += run(lab, [theirs], pair[1])
    assert rows[pair[0]] == run(resident, GENERATION, context(resident))
    assert rows[pair[1]] == run(resident, other, context(resident))


@pytest.mark.parametrize("nodes", [1, 300])
def test_a_pass_may_be_given_up_on_the_way(model: Path, expected: list[bytes], nodes: int) -> None:
    lab = Lab(str(model), 5, poison=True)
    index = context(lab)
    status, rows = lab.decode(index, prompt(8), abort_after=nodes)
    assert (status, rows) == (2, [])
    assert run(lab, GENERATION, context(lab)) == expected


def test_a_context_may_end_while_layers_are_copied(model: Path, expected: list[bytes]) -> None:
    lab = Lab(str(model), 0, poison=True, bytes_per_s=2e9)
    first = context(lab)
    run(lab, GENERATION[:1], first)
    lab.drop_context(first)
    assert run(lab, GENERATION, context(lab)) == expected


def test_a_streamed_model_leaves_memory_as_it_found_it(model: Path) -> None:
    lab = Lab(str(model), 0, bytes_per_s=1e8)
    context(lab)
    del lab  # a copy is under way


def test_the_plan_accounts_for_every_byte(model: Path) -> None:
    whole = estimate(model, device="cpu").weights_bytes
    for n_resident in (0, 11, LAYERS):
        lab = Lab(str(model), n_resident, slots=3)
        assert lab.sizes.whole == whole
        assert lab.plan.weight_bytes + lab.plan.host_bytes == whole
        assert lab.plan.slot_bytes == lab.plan.slots * lab.sizes.slot
        assert len(lab.plan.streamed) == LAYERS - n_resident


def test_each_streamed_layer_is_copied_once_in_a_pass(model: Path) -> None:
    lab = Lab(str(model), 10)
    run(lab, GENERATION, context(lab))
    copies = len(GENERATION) * len(lab.plan.streamed)
    assert copies <= lab.counters()["copies"] <= copies + lab.plan.slots


def test_what_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such model file"):
        Lab(str(tmp_path / "missing.gguf"), 0)


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_kind_of_model_can_be_streamed(kind: str, tmp_path: Path) -> None:
    file = str(write_tiny_model(tmp_path / "tiny.gguf", kind, layers=6))
    whole = Lab(file, None)
    streamed = Lab(file, 2, poison=True)
    assert streamed.sizes.refusal == ""
    assert len(streamed.sizes.layers) == 6
    steps = [
        [(30 + i, i, 0, i == 19) for i in range(20)],
        *([(50 + i, 20 + i, 0, True)] for i in range(3)),
    ]
    assert run(streamed, steps, context(streamed)) == run(whole, steps, context(whole))
