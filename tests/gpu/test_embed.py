"""Embeddings as tasks: submitted, run on the device, charged, refused."""

from pathlib import Path
from typing import Any

import pytest

from lmx.engine import Engine, tokenize
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput, NotFound, TaskFailed
from lmx.workflows.models import Model
from lmx.workflows.views import get_task
from tests.gpu.conftest import StartWorker, register
from tests.support.tiny import tiny_model

TEXTS = ["the sky is blue", "water"]


@pytest.fixture
def encoder(database: Database, tmp_path: Path) -> Model:
    """A tiny encoder, at a price, registered as `lmx models add` does it."""
    path = tiny_model(tmp_path, "bert")
    info = {"n_ctx_train": 512, "generates": False}
    return register(database, "encoder", path, price_in=1_000_000_000, info=info)


def test_texts_come_back_as_the_vectors_of_the_engine(
    client: Client, encoder: Model, start_worker: StartWorker, database: Database
) -> None:
    start_worker(2**30)
    task = client.embed(model="encoder", texts=TEXTS)
    output = client.result(task, 60)
    with Engine(device="cpu", threads=1) as engine:
        wanted = engine.embed(encoder.path, TEXTS)
    for vector, exact in zip(output["embeddings"], wanted, strict=True):
        assert vector == pytest.approx(exact, abs=1e-6)
    usage = get_task(database, task).usage
    tokens = sum(len(tokenize(encoder.path, prompt=text)) for text in TEXTS)
    assert (usage["prompt_tokens"], usage["cost"]) == (tokens, tokens * 1000)


def test_a_text_that_is_too_long_fails_its_task_in_one_line(
    client: Client, encoder: Model, start_worker: StartWorker
) -> None:
    start_worker(2**30)
    long = ["water " * 600]
    with pytest.raises(TaskFailed, match="602 tokens"):
        client.result(client.embed(model="encoder", texts=long), 60)
    assert client.result(client.embed(model="encoder", texts=long, truncate=True), 60)


@pytest.mark.usefixtures("encoder")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"texts": []}, "1 to 256 texts"),
        ({"texts": "one"}, "1 to 256 texts"),
        ({"texts": ["a", ""]}, r"texts\[1\] is empty"),
        ({"texts": ["a" * 5_000_000]}, "more than 4194304 bytes"),
        ({"texts": ["a"], "pooling": "rank"}, "pooling is 'rank'"),
        ({"texts": ["a"], "n_ctx": 9999}, "n_ctx is 9999"),
        ({"texts": ["a"], "truncate": 1}, "truncate is 1"),
    ],
)
def test_what_makes_no_sense_is_refused_at_submission(
    client: Client, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        client.embed(model="encoder", **options)


@pytest.mark.usefixtures("encoder")
def test_an_encoder_is_not_asked_to_write(client: Client) -> None:
    with pytest.raises(InvalidInput, match="does not generate text"):
        client.generate(model="encoder", prompt="Once upon")
    with pytest.raises(NotFound):
        client.embed(model="nobody", texts=["a"])
