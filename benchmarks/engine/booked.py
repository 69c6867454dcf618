"""Bytes booked beside bytes used, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.engine.models import shipped_model, variant
from benchmarks.engine.settings import Settings
from benchmarks.engine.table import Row
from benchmarks.engine.yardsticks import Yardsticks

_CASES = (  # number format, n_ctx, sequences, KV type
    ("Q4_1", 2048, 1, "f16"),
    ("Q4_1", 1024, 4, "q8_0"),
    ("Q8_0", 512, 4, "f16"),
    ("F16", 512, 1, "f16"),
)


def measure(settings: Settings, _yardsticks: Yardsticks) -> list[Row]:
    return [_case(settings, *case) for case in (_CASES[1:3] if settings.quick else _CASES)]


def _case(settings: Settings, number_format: str, n_ctx: int, n_seq: int, kv_type: str) -> Row:
    settings.say(f"bytes of {number_format}, {n_seq} x {n_ctx} tokens in {kv_type}")
    model = shipped_model() if number_format == "Q4_1" else variant(number_format)
    command = [sys.executable, "-m", "benchmarks.engine.booked_child", model, n_ctx, n_seq, kv_type]
    done = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout)
    booked, used = found["booked"], found["resident"]
    return Row(
        f"booked of used, {number_format}, {n_seq} x {n_ctx} {kv_type}",
        booked / used,
        at_least=1.0,
        at_most=1.05,
        detail=f"{booked / 2**20:.1f} of {used / 2**20:.1f} MiB resident;"
        f" {found['allocated'] / 2**20:.1f} MiB asked of malloc, touched or not",
    )
