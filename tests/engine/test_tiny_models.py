"""Models of every kind of memory that the library has are served: attention, windows, states."""

from pathlib import Path

import pytest

from lmx.engine import Sampling, inspect_model, tokenize
from tests.engine.conftest import MakeEngine
from tests.support.tiny import ENCODERS, GENERATORS, KINDS, tiny_model, write_tiny_model


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_model_of_this_kind_writes_text(
    kind: str, tiny_models: Path, make_engine: MakeEngine
) -> None:
    path = tiny_model(tiny_models, kind)
    assert path.stat().st_size < 2**20 + 2**15
    engine = make_engine()

    def answer(prompt: str) -> str:
        sampling = Sampling(temperature=0)
        return (
            engine.submit(model=path, prompt=prompt, max_tokens=8, n_ctx=256, sampling=sampling)
            .result()
            .text
        )

    first = answer("Why is the sky blue?")
    assert first.isprintable()
    assert answer("Why is the sky blue?") == first
    assert answer("How many people call?") != first, "it depends on the prompt"


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_is_no_generator(kind: str, tiny_models: Path) -> None:
    assert not inspect_model(tiny_model(tiny_models, kind)).generates


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_any_text_can_be_tokenized_and_a_word_is_few_tokens(kind: str, tiny_models: Path) -> None:
    path = tiny_model(tiny_models, kind)
    assert len(tokenize(path, prompt=" the sky is blue")) <= 7
    assert len(tokenize(path, prompt="é \U0001f600 Ж\n")) > 6


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    one, same, other = (
        write_tiny_model(tmp_path / name, "qwen3", seed=seed)
        for name, seed in (("1", 1), ("2", 1), ("3", 2))
    )
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_can_be_made_in_another_size(kind: str, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "large.gguf", kind, layers=6, feed=256)
    assert path.stat().st_size > tiny_model(tmp_path, kind).stat().st_size
