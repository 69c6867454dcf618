"""Lack of memory, damaged files and absurd parameters: one clear error each, and life goes on."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmx.engine import Engine, EngineError, InvalidRequest, PromptTooLong, Sampling, inspect_model
from tests.engine.conftest import MakeEngine
from tests.support.fuzz_models import fuzz
from tests.support.tiny import tiny_model

CALL: dict[str, Any] = {"prompt": "The sky", "max_tokens": 2, "n_ctx": 256}


@pytest.fixture
def tiny(tiny_models: Path) -> Path:
    return tiny_model(tiny_models, "llama")


@pytest.mark.parametrize("mib", [16, 150, 190])
def test_refused_memory_fails_the_request_alone_and_leaves_nothing_booked(
    model: Path, mib: int
) -> None:
    """With 150 and 190 MiB left, some of the library's allocations succeed before one fails."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.short_of_memory", str(model), str(mib)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},
    )
    told = json.loads(child.stdout)
    assert told["short"].startswith("OutOfMemory: the system refuses")
    assert (told["booked"], told["then"]) == (0, "answered")


def test_no_damaged_file_that_the_probe_accepts_kills_its_user(tmp_path: Path) -> None:
    outcomes, findings = fuzz(1.5, seed=7, keep=tmp_path)
    assert outcomes
    assert not findings


def test_a_file_that_is_no_text_where_it_should_be_is_quoted_legibly(
    tiny: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    path = tmp_path / "bytes.gguf"
    path.write_bytes(tiny.read_bytes().replace(b"general.file_type", b"general.fi\xffe_type", 1))
    inspect_model(path)
    assert make_engine().submit(model=path, **CALL).result().completion_tokens > 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e30, 1e30])
@pytest.mark.parametrize(
    "option",
    [
        *("temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"),
        *("frequency_penalty", "top_n_sigma", "xtc_probability", "xtc_threshold"),
        *("dry_multiplier", "dry_base"),
    ],
)
def test_a_sampling_option_out_of_range_is_named(
    tiny: Path, sampler_engine: Engine, option: str, value: float
) -> None:
    with pytest.raises(InvalidRequest, match=option) as refusal:
        sampler_engine.submit(model=tiny, sampling=Sampling(**{option: value}), **CALL)
    assert "\n" not in str(refusal.value)


ABSURD: dict[str, tuple[dict[str, Any], type[EngineError], str]] = {
    "no prompt": ({"prompt": None}, InvalidRequest, "either prompt= or messages="),
    "an empty prompt": ({"prompt": ""}, InvalidRequest, "the prompt is empty"),
    "a lone surrogate": ({"prompt": "a\ud800b"}, InvalidRequest, "not valid Unicode"),
    "a prompt over the context": ({"prompt": "x" * 10_000}, PromptTooLong, "shorten it"),
    "no tokens": ({"max_tokens": 0}, InvalidRequest, "max_tokens is 0"),
    "fewer than no tokens": ({"max_tokens": -1}, InvalidRequest, "max_tokens is -1"),
    "endless tokens": ({"max_tokens": 2**70}, InvalidRequest, "max_tokens is"),
    "half a token": ({"max_tokens": 1.5}, InvalidRequest, "max_tokens is 1.5"),
    "half a token of a context": ({"n_ctx": 1.5}, InvalidRequest, "n_ctx is 1.5"),
    "a cache that is no word": ({"kv_type": 8}, InvalidRequest, "kv_type is 8"),
    "a word for a deadline": ({"deadline_s": "soon"}, InvalidRequest, "deadline_s is 'soon'"),
    "no context": ({"n_ctx": 0}, InvalidRequest, "n_ctx is 0"),
    "a negative context": ({"n_ctx": -(2**40)}, InvalidRequest, "n_ctx is 0"),
    "more context than trained": ({"n_ctx": 10**6}, InvalidRequest, "trained for 4096"),
    "a deadline that is no number": ({"deadline_s": math.nan}, InvalidRequest, "deadline_s"),
    "a deadline in the past": ({"deadline_s": -1.0}, InvalidRequest, "deadline_s"),
    "an unknown cache": ({"kv_type": "q1"}, InvalidRequest, "kv_type is 'q1'"),
    "a cache that needs flash attention": (
        {"kv_type": "q4_0", "flash_attn": "off"},
        InvalidRequest,
        "requires flash_attn",
    ),
    "a token that is unknown": (
        {"sampling": Sampling(logit_bias={10**6: 1.0})},
        InvalidRequest,
        "logit_bias names token 1000000",
    ),
    "a token below zero": (
        {"sampling": Sampling(logit_bias={-1: 1.0})},
        InvalidRequest,
        "logit_bias names token -1",
    ),
    "a token beyond 32 bits": (
        {"sampling": Sampling(logit_bias={2**40: 1.0})},
        InvalidRequest,
        "sampling options must be numbers in range",
    ),
    "a bias that is no number": (
        {"sampling": Sampling(logit_bias={1: math.nan})},
        InvalidRequest,
        "logit_bias values must be numbers",
    ),
    "a seed beyond 32 bits": ({"sampling": Sampling(seed=2**32)}, InvalidRequest, "seed is"),
    "top_k below zero": ({"sampling": Sampling(top_k=-1)}, InvalidRequest, "top_k"),
    "bytes for a prompt": ({"prompt": b"\xff"}, InvalidRequest, "bytes was given where a text"),
    "a number for messages": ({"prompt": None, "messages": 5}, InvalidRequest, "messages is empty"),
    "a number as a stop": ({"stop": [5]}, InvalidRequest, "int was given where a text"),
    "a surrogate as a role": (
        {"prompt": None, "messages": [{"role": "us\ud800er", "content": "x"}]},
        InvalidRequest,
        r"messages\[0\] is not valid Unicode",
    ),
    "half a seed": ({"sampling": Sampling(seed=0.5)}, InvalidRequest, "seed is 0.5"),  # type: ignore[arg-type]
    "biases without tokens": (
        {"sampling": Sampling(logit_bias=[1.0])},  # type: ignore[arg-type]
        InvalidRequest,
        "sampling options must be numbers",
    ),
    "a surrogate as a stop": ({"stop": ["\udfff"]}, InvalidRequest, "not valid Unicode"),
}


@pytest.fixture(scope="module")
def sampler_engine() -> Any:
    """One engine for all requests that are refused."""
    with Engine(device="cpu", threads=1) as engine:
        yield engine


@pytest.mark.parametrize("case", ABSURD)
def test_what_cannot_be_meant_is_one_typed_error(
    tiny: Path, sampler_engine: Engine, case: str
) -> None:
    options, kind, complaint = ABSURD[case]
    with pytest.raises(kind, match=complaint) as refusal:
        sampler_engine.submit(model=tiny, **{**CALL, **options})
    assert "\n" not in str(refusal.value)
    assert sampler_engine.snapshot()["used"] == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cap_bytes": 2**60}, "the memory cap of .* is more than the .* of cpu"),
        ({"cap_bytes": 0.5}, "cap_bytes is 0.5"),
        ({"threads": 0}, "threads is 0"),
        ({"max_slots": 1000}, "max_slots must be between 1 and"),
        ({"patience_s": math.nan}, "patience_s is nan"),
        ({"quantum_s": -1}, "quantum_s is -1"),
        ({"host_bytes": -1}, "host_bytes is -1"),
        ({"copy_limit": -1.0}, "copy_limit is -1.0"),
        ({"streaming": "perhaps"}, "streaming is 'perhaps'"),
    ],
)
def test_an_engine_that_cannot_be_meant_is_one_typed_error(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        Engine(device="cpu", **options)
    assert "\n" not in str(refusal.value)
