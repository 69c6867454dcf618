"""Runs one model in a process of its own, and prints what is booked for it and what it takes.

    python -m benchmarks.engine.booked_child MODEL N_CTX N_SEQ KV_TYPE

Another model runs first, so that the libraries are there and the measured one's vocabulary is not.
Every slot is filled, so that every page that is ever needed has been touched. Two accounts are
kept: the pages that the process holds, and the blocks that malloc has handed out, which also count
room that llama.cpp asks for and never touches.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks.engine.models import endless
from lmx.engine import Engine, Sampling
from tests.support.tiny import tiny_model


class _MallInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated() -> int:
    """Bytes that malloc has handed out and not got back, over all arenas."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _MallInfo
    info = libc.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def resident() -> int:
    """Bytes of the pages that this process holds, after what is free was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    model, n_ctx, n_seq, kv_type = Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4]
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(device="cpu", threads=1, max_slots=n_seq) as engine,
    ):
        other = tiny_model(Path(folder), "llama")
        engine.submit(model=other, prompt="Hello", max_tokens=4, n_ctx=256).result()
    with Engine(device="cpu", threads=1, max_slots=n_seq) as engine:
        before = resident(), allocated(), engine.snapshot()["used"]
        _fill(engine, model, endless(model), n_ctx, n_seq, kv_type)
        after = resident(), allocated(), engine.snapshot()["used"]
    rss, heap, booked = (now - then for now, then in zip(after, before, strict=True))
    print(json.dumps({"booked": booked, "allocated": heap, "resident": rss}))


def _fill(
    engine: Engine, model: Path, sampling: Sampling, n_ctx: int, n_seq: int, kv_type: str
) -> None:
    """Fills every slot but for a few tokens."""
    requests = [
        engine.submit(
            model=model,
            prompt="word " * (n_ctx - 32),
            max_tokens=16,
            n_ctx=n_ctx,
            kv_type=kv_type,
            sampling=sampling,
        )
        for _ in range(n_seq)
    ]
    for request in requests:
        request.result()


if __name__ == "__main__":
    main()
