"""Options of local models through the queue: the cache's type, the mode, and every range."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lmx.engine import Engine, Sampling, estimate
from lmx.workflows.call_options import _NUMBERS, _WHOLE, KV_TYPES
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import Model, Need, add_model, record_need
from tests.gpu.conftest import CALL, N_CTX, StartWorker, register
from tests.gpu.test_gpu_worker import WAIT_S, need
from tests.support.tiny import tiny_model

STORY = "Anna has three cats, two dogs and a parrot that can count to seven. " * 4
_SAMPLING = sorted(_NUMBERS.keys() & {field.name for field in fields(Sampling)})


@pytest.fixture
def tiny(pytestconfig: pytest.Config) -> Path:
    cache = pytestconfig.cache
    assert cache is not None
    return tiny_model(Path(cache.mkdir("models")), "llama")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(device="cpu", threads=1) as engine:
        yield engine


def test_a_call_may_ask_for_a_smaller_cache_than_its_model_has_by_default(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    worker = start_worker(3 * need(small))
    for kv_type in ("f16", "q8_0"):
        task = client.generate(model="small", prompt="The sky is", kv_type=kv_type, **CALL)
        assert client.result(task, WAIT_S)["text"]
    plain, packed = worker.engine.snapshot()["contexts"]
    per_slot = [context["kv_bytes"] // context["slots"] for context in (plain, packed)]
    assert per_slot[1] == per_slot[0] * 34 // 64


def test_a_model_may_have_a_smaller_cache_for_all_of_its_calls(
    client: Client, database: Database, model: Path, start_worker: StartWorker
) -> None:
    packed = register(database, "packed", model, info={"kv_type": "q4_0"})
    worker = start_worker(2 * need(packed))
    assert client.result(client.generate(model="packed", prompt="Hi", **CALL), WAIT_S)["text"]
    (context,) = worker.engine.snapshot()["contexts"]
    expected = estimate(model, N_CTX, context["slots"], "q4_0", device="cpu").kv_bytes
    assert context["kv_bytes"] == expected


def test_a_deterministic_call_goes_on_from_whole_chunks_only(
    client: Client, small: Model, start_worker: StartWorker
) -> None:
    start_worker(3 * need(small))
    cached = []
    for mode in ("throughput", "throughput", "deterministic"):
        task = client.generate(model="small", prompt=STORY, mode=mode, **CALL)
        usage = client.wait(task, WAIT_S).usage
        assert usage is not None
        cached.append(usage["cached_tokens"])
    assert cached[0] == cached[2] == 0 < cached[1]


def test_what_was_measured_with_another_cache_is_forgotten(database: Database) -> None:
    measured = Model("m", "/m.gguf", "0" * 64, 9, 512, needs={512: Need(9, 8, 7)})
    packed = replace(measured, info={"kv_type": "q8_0"}, needs={1024: Need(9, 8, 7)})
    with database.connect() as conn:
        add_model(conn, measured)
        assert set(add_model(conn, packed).needs) == {1024}
        record_need(conn, measured, 512, Need(9, 8, 7))  # by who looked before it was replaced
        assert set(add_model(conn, packed).needs) == {1024}


@pytest.mark.parametrize("own", KV_TYPES)
def test_a_need_with_another_cache_is_never_overstated(tiny: Path, own: str) -> None:
    """Else a call that fits would be refused at submission."""

    def measured(kv_type: str) -> Need:
        found = estimate(tiny, n_ctx=1024, kv_type=kv_type, device="cpu")
        return Need(found.weights_bytes, found.kv_bytes, found.compute_bytes)

    known = measured(own)
    assert known.at_least(own, own) == known
    for kv_type in KV_TYPES:
        assert known.at_least(own, kv_type).total <= measured(kv_type).total


@pytest.mark.parametrize("name", _SAMPLING)
def test_the_engine_takes_every_number_that_a_submission_takes(
    engine: Engine, tiny: Path, name: str
) -> None:
    low, high = (int(end) if name in _WHOLE else end for end in _NUMBERS[name])
    for value in (low, high):
        sampling = Sampling(**{name: value})
        engine.submit(model=tiny, prompt="Hi", max_tokens=1, n_ctx=256, sampling=sampling).result()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_ctx": 8193}, "trained for 8192 tokens"),
        ({"logit_bias": {"49152": 1.0}}, "names token 49152 of 'known', which has 0 to 49151"),
    ],
)
def test_what_the_file_does_not_know_is_refused_at_submission(
    client: Client, database: Database, model: Path, options: dict[str, object], complaint: str
) -> None:
    register(database, "known", model, info={"n_ctx_train": 8192, "n_vocab": 49152})
    with pytest.raises(InvalidInput, match=complaint):
        client.generate(model="known", prompt="Hi", **CALL, **options)
