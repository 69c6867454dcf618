"""Estimates are what is really allocated, to the byte, and cost no memory themselves."""

from pathlib import Path

import pytest

from lmx.engine import InvalidRequest, device_info, estimate, fits_cap
from tests.engine.conftest import MakeEngine


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
