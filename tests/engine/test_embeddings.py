"""Texts become vectors: the numbers of a reference, whatever shares the decode with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmx.engine import (
    Engine,
    InvalidRequest,
    ModelFileError,
    NeverFits,
    PromptTooLong,
    estimate,
    inspect_model,
    tokenize,
)
from tests.engine.conftest import MakeEngine
from tests.support.bert import hidden_states
from tests.support.tiny import ENCODERS, tiny_model

TEXTS = ["the sky is blue", "water", "how many people see the blue sky of this day", "a"]
CLOSE = 2e-3  # the weights are of 16 bits, and so are the library's intermediate numbers


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_the_numbers_are_those_of_the_network(
    engine: Engine, tiny_models: Path, pooling: Any
) -> None:
    path = tiny_model(tiny_models, "bert")
    vectors = engine.embed(path, TEXTS, pooling=pooling, normalize=False)
    for text, vector in zip(TEXTS, vectors, strict=True):
        rows = hidden_states(path, tokenize(path, prompt=text))
        wanted = {"mean": rows.mean(axis=0), "cls": rows[0], "last": rows[-1]}[pooling]
        assert np.abs(np.array(vector) - wanted).max() < CLOSE


@pytest.mark.parametrize("kind", [*ENCODERS, "llama", "qwen3", "gemma3", "mamba"])
def test_a_text_has_its_vector_whatever_it_shares_a_decode_with(
    engine: Engine, tiny_models: Path, kind: str
) -> None:
    path = tiny_model(tiny_models, kind)
    together = engine.embed(path, TEXTS, pooling="mean")
    alone = [engine.embed(path, [text], pooling="mean")[0] for text in TEXTS]
    assert np.abs(np.array(together) - np.array(alone)).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0)


def test_many_texts_share_a_decode(engine: Engine, tiny_models: Path) -> None:
    path = tiny_model(tiny_models, "bert")
    engine.embed(path, TEXTS * 8)
    assert engine.snapshot()["totals"]["decodes"] < 16


def test_the_file_says_how_to_pool_and_that_it_does_not_generate(tiny_models: Path) -> None:
    info = inspect_model(tiny_model(tiny_models, "bert"))
    assert (info.generates, info.pooling, info.n_embd) == (False, "mean", 64)
    assert inspect_model(tiny_model(tiny_models, "llama")).generates


def test_what_was_generated_from_is_not_mistaken_for_a_text(
    engine: Engine, tiny_models: Path
) -> None:
    path = tiny_model(tiny_models, "qwen3")
    before = engine.embed(path, [TEXTS[0]])
    engine.submit(model=path, prompt=TEXTS[0] + " and", max_tokens=4, n_ctx=512).result()
    assert engine.embed(path, [TEXTS[0]]) == before


def test_a_long_text_is_refused_or_cut(engine: Engine, tiny_models: Path) -> None:
    path = tiny_model(tiny_models, "bert")
    long = "blue " * 600
    with pytest.raises(PromptTooLong, match="602 tokens"):
        engine.embed(path, ["fine", long])
    cut = engine.embed(path, [long], truncate=True)
    assert cut == engine.embed(path, ["blue " * 510])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"texts": []}, "1 to 4096 texts"),
        ({"texts": "one"}, "1 to 4096 texts"),
        ({"texts": ["a", " "]}, r"texts\[1\] is empty"),
        ({"texts": ["\ud800"]}, "not valid Unicode"),
        ({"pooling": "rank"}, "one of mean, cls, last"),
        ({"pooling": "none"}, "one of mean, cls, last"),
        ({"n_ctx": 5000}, "trained for 512"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    engine: Engine, tiny_models: Path, options: dict[str, Any], complaint: str
) -> None:
    arguments = {"texts": ["a"], **options}
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        engine.embed(tiny_model(tiny_models, "bert"), **arguments)
    assert "\n" not in str(refusal.value)


def test_an_encoder_generates_nothing(engine: Engine, tiny_models: Path) -> None:
    with pytest.raises(ModelFileError, match="does not generate text"):
        engine.submit(model=tiny_model(tiny_models, "bert"), prompt="a")


def test_embedding_is_booked_like_everything_else(
    make_engine: MakeEngine, tiny_models: Path
) -> None:
    path = tiny_model(tiny_models, "bert")
    needs = estimate(path, 512, pooling="mean")
    with pytest.raises(NeverFits):
        make_engine(cap_bytes=needs.total_bytes - 1, streaming="off").embed(path, ["a"])
    engine = make_engine(cap_bytes=needs.total_bytes)
    engine.embed(path, ["a"])
    assert engine.snapshot()["used"] == needs.total_bytes
