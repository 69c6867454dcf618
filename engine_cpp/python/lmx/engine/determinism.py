"""Whether decoding sequences together changes their bits: measured, kept, and found again.

A proof holds for one device, version of llama.cpp, number of threads and version of a model file.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.devices import cpu_count
from lmx.engine.errors import NoRoom
from lmx.engine.estimates import N_UBATCH, context_spec, estimate
from lmx.engine.files import StrPath, file_sha256, inspect_model

LARGEST = 16  # sequences decoded together
STEPS = 4  # tokens of each
N_CTX = 512


@dataclass(frozen=True, slots=True)
class Determinism:
    """What was measured, and for what it holds.

    ``same_in_batch`` tells for each number of sequences whether decoding so many together left
    all of their logits as they are alone; ``batch`` is the largest number up to which it did so
    throughout (0: not even a repetition gave the same). ``same_in_chunks``: a prompt taken in two
    decodes gave the same as in one.
    """

    device: str
    llama_cpp: str
    threads: int
    sha256: str
    size_bytes: int
    modified_ns: int
    kv_type: str
    flash_attn: str
    batch: int
    same_in_batch: dict[str, bool]
    same_in_chunks: bool
    tokens_compared: int


def measure(
    model: StrPath,
    *,
    device: str = "auto",
    threads: int | None = None,
    kv_type: str = "f16",
    flash_attn: str = "auto",
) -> Determinism:
    """Decode sequences of unlike lengths alone and together, and compare their logits bit by bit.

    Raises ModelFileError, or NoRoom where the device has no room for the model and its contexts.
    """
    info = inspect_model(model)
    needs = estimate(
        model, N_CTX, LARGEST, kv_type, n_ubatch=N_UBATCH, flash_attn=flash_attn, device=device
    )
    _, free = _core.device_memory(device)
    if needs.total_bytes > free:
        raise NoRoom(
            f"the measurement needs {needs.total_bytes} bytes and {free} are free on {device}; "
            "end what uses the device first",
            needs.total_bytes,
            free,
            free,
        )
    threads = threads or max(1, cpu_count() - 1)
    spec = context_spec(min(N_CTX, info.n_ctx_train or N_CTX), 1, kv_type, N_UBATCH, flash_attn)
    report = _core.measure_determinism(info.path, device, spec, threads, LARGEST, STEPS)
    forward_logs()
    same = report.same_in_batch
    status = Path(info.path).stat()
    return Determinism(
        device=_core.device_name(device),
        llama_cpp=_core.BUILT_FOR,
        threads=threads,
        sha256=file_sha256(info.path),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        kv_type=kv_type,
        flash_attn=flash_attn,
        batch=same.index(False) if False in same else len(same),
        same_in_batch={str(n): answer for n, answer in enumerate(same, start=1)},
        same_in_chunks=report.same_in_chunks,
        tokens_compared=report.tokens_compared,
    )


def remember(path: StrPath, proof: Determinism) -> None:
    """Add the proof to the file, in place of an older one for the same."""
    target = Path(path)
    kept = [one for one in _read(target) if not _about_the_same(one, asdict(proof))]
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_text(json.dumps([*kept, asdict(proof)], indent=1))
    unfinished.replace(target)


class Proofs:
    """What was proven for one engine. Thread-safe; the file is read when it has changed."""

    def __init__(self, path: StrPath | None, device: str, threads: int) -> None:
        self._path = None if path is None else Path(path)
        self._of_engine = {
            "device": device,
            "threads": threads,
            "llama_cpp": _core.BUILT_FOR,
        }
        self._lock = threading.Lock()
        self._seen: tuple[int, list[dict[str, Any]]] = (-1, [])

    def batch(self, model: str, kv_type: str, flash_attn: str) -> int:
        """Deterministic sequences of this model that may share a decode; 1 without a proof."""
        if self._path is None:
            return 1
        with suppress(OSError):
            status = Path(model).stat()
            wanted = {
                **self._of_engine,
                "size_bytes": status.st_size,
                "modified_ns": status.st_mtime_ns,
                "kv_type": kv_type,
                "flash_attn": flash_attn,
            }
            for proof in self._proofs(self._path):
                if wanted.items() <= proof.items():
                    return max(1, int(proof["batch"]))
        return 1

    def _proofs(self, path: Path) -> list[dict[str, Any]]:
        with self._lock:
            changed = path.stat().st_mtime_ns
            if changed != self._seen[0]:
                self._seen = (changed, _read(path))
            return self._seen[1]


def _about_the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("device", "llama_cpp", "threads", "sha256", "kv_type", "flash_attn")
    return all(one.get(key) == other[key] for key in keys)


def _read(path: Path) -> list[dict[str, Any]]:
    """A file that is missing or damaged holds no proofs."""
    try:
        proofs = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    if not isinstance(proofs, list):
        return []
    return [one for one in proofs if isinstance(one, dict) and isinstance(one.get("batch"), int)]
