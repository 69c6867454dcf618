"""Estimates are what is really allocated, to the byte, and cost no memory themselves."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmx.engine import InvalidRequest, device_info, estimate, fits_cap, measure
from tests.engine.conftest import MakeEngine
from tests.support.tiny import GENERATORS, tiny_model

QUANTISED = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0")


def any_context(chance: random.Random) -> dict[str, Any]:
    """Options of a context, of which the library accepts most."""
    return {
        "n_ctx": chance.choice([1, 256, 300, 512, 1000, 2048]),
        "n_seq": chance.choice([1, 2, 3, 5, 8]),
        "kv_type": chance.choice(["f32", "f16", "bf16", *QUANTISED]),
        "n_ubatch": chance.choice([1, 7, 32, 64, 512, 5000]),
        "flash_attn": chance.choice(["on", "off", "auto"]),
    }


@pytest.mark.parametrize("kind", GENERATORS)
def test_an_estimate_is_what_a_context_has_taken_after_its_largest_batch(
    kind: str, tiny_models: Path
) -> None:
    path = tiny_model(tiny_models, kind)
    chance = random.Random(kind)
    for _ in range(8):
        options = any_context(chance)
        if options["kv_type"] in QUANTISED and options["flash_attn"] == "off":
            with pytest.raises(InvalidRequest, match="quantized V cache requires flash_attn"):
                estimate(path, **options)
        else:
            assert estimate(path, **options) == measure(path, **options), options


@pytest.mark.parametrize("n_ctx", [256, 1000])
@pytest.mark.parametrize("n_seq", [1, 3])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_an_estimate_is_what_is_really_allocated(
    model: Path, make_engine: MakeEngine, n_ctx: int, n_seq: int, kv_type: str
) -> None:
    expected = estimate(model, n_ctx=n_ctx, n_seq=n_seq, kv_type=kv_type, device="cpu")
    engine = make_engine(max_slots=n_seq)
    engine.submit(model=model, prompt="Hi", max_tokens=1, n_ctx=n_ctx, kv_type=kv_type).result()
    snapshot = engine.snapshot()
    assert snapshot["by_kind"]["weights"] == expected.weights_bytes
    assert snapshot["by_kind"]["kv"] == expected.kv_bytes
    assert snapshot["by_kind"]["compute"] == expected.compute_bytes
    assert snapshot["used"] == expected.total_bytes


def test_the_process_takes_what_is_booked_and_hardly_less(model: Path) -> None:
    command = [sys.executable, "-m", "tests.support.memory_use", str(model), "512", "1"]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    bytes_of = json.loads(child.stdout)
    assert bytes_of["used"] <= bytes_of["booked"] <= 1.05 * bytes_of["used"]


def test_the_cache_grows_with_tokens_and_sequences(model: Path) -> None:
    one = estimate(model, n_ctx=512)
    assert estimate(model, n_ctx=1024).kv_bytes == 2 * one.kv_bytes
    assert estimate(model, n_ctx=512, n_seq=4).kv_bytes == 4 * one.kv_bytes
    assert estimate(model, n_ctx=300) == one  # contexts come in steps of 256 tokens
    assert estimate(model, n_ctx=512, kv_type="q8_0").kv_bytes < 0.6 * one.kv_bytes
    assert estimate(model, n_ctx=1024).weights_bytes == one.weights_bytes


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"n_ctx": 0}, "n_ctx is 0"),
        ({"n_ctx": -5}, "n_ctx is 0"),
        ({"n_ctx": 2**40}, "n_ctx is 4294967295"),
        ({"n_ctx": 2**24, "n_seq": 256}, "more than the 1073741824 that one context can hold"),
        ({"n_ubatch": 0}, "n_ubatch must be 1 or more"),
        ({"n_seq": 0}, "n_seq is 0"),
        ({"n_seq": 10**6}, "n_seq is 1000000"),
        ({"kv_type": "q1"}, "kv_type is 'q1'"),
        ({"flash_attn": "maybe"}, "flash_attn is 'maybe'"),
        ({"device": "abacus:0"}, "no device 'abacus:0' here; use one of auto, cpu"),
    ],
)
def test_absurd_contexts_are_refused(
    model: Path, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        estimate(model, **options)  # type: ignore[arg-type]


def test_the_cpu_is_a_device_with_memory() -> None:
    info = device_info("cpu")
    assert info.name == "cpu"
    assert info.total_bytes > 2**30


def test_a_cap_is_checked_with_nothing_loaded(model: Path) -> None:
    needs = estimate(model, n_ctx=512).total_bytes
    assert fits_cap(model, needs, n_ctx=512).verdict == "now"
    assert fits_cap(model, needs - 1, n_ctx=512).verdict == "streamed"
    assert fits_cap(model, needs - 1, n_ctx=512, host_cap_bytes=2**20).verdict == "never"
    refused = fits_cap(model, needs - 1, n_ctx=512, streaming="off")
    assert (refused.verdict, refused.needs, refused.cap) == ("never", needs, needs - 1)
