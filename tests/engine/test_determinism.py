"""What `lmx doctor --determinism` measures, and that engines find it."""

from dataclasses import replace
from pathlib import Path

import pytest

from lmx.engine import Sampling
from lmx.engine.determinism import Determinism, Proofs, measure, remember
from tests.engine.conftest import N_CTX, MakeEngine
from tests.support.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tiny_models: Path) -> Path:
    """A tiny one: the measurement decodes thousands of tokens."""
    return tiny_model(tiny_models, "llama")


@pytest.fixture(scope="module")
def proof(model: Path) -> Determinism:
    return measure(model, device="cpu", threads=1)


def batch(path: Path, model: Path, device: str = "cpu", threads: int = 1, kv: str = "f16") -> int:
    return Proofs(path, device, threads).batch(str(model), kv, "auto")


def test_the_measurement_says_what_was_compared(proof: Determinism) -> None:
    assert list(proof.same_in_batch) == [str(n) for n in range(1, 17)]
    assert proof.same_in_batch["1"]
    assert proof.batch >= 1
    assert all(proof.same_in_batch[str(n)] for n in range(1, proof.batch + 1))
    assert proof.tokens_compared > 1000


def test_a_proof_holds_for_what_it_was_measured_with(
    proof: Determinism, model: Path, larger_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "home" / "proofs.json"
    assert batch(path, model) == 1
    remember(path, replace(proof, batch=4))
    remember(path, replace(proof, batch=8))
    assert batch(path, model) == 8
    assert batch(path, larger_model) == 1
    assert batch(path, model, device="cuda:0") == 1
    assert batch(path, model, threads=2) == 1
    assert batch(path, model, kv="q8_0") == 1


def test_a_damaged_file_proves_nothing(proof: Determinism, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    path.write_text('[{"batch": ')
    assert batch(path, model) == 1
    remember(path, proof)
    assert batch(path, model) == proof.batch


@pytest.mark.parametrize("proven", [1, 4])
def test_deterministic_requests_share_a_decode_only_where_that_is_proven(
    proof: Determinism, model: Path, make_engine: MakeEngine, tmp_path: Path, proven: int
) -> None:
    path = tmp_path / "proofs.json"
    remember(path, replace(proof, batch=proven))
    engine = make_engine(determinism_file=path)
    requests = [
        engine.submit(
            model=model,
            prompt="Once",
            max_tokens=12,
            n_ctx=N_CTX,
            sampling=Sampling(temperature=0),
            mode="deterministic",
        )
        for _ in range(4)
    ]
    assert len({request.result().text for request in requests}) == 1
    totals = engine.snapshot()["totals"]
    assert (totals["decodes"] < totals["decoded_sequences"]) == (proven > 1)
