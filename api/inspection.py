"""Asks a worker-side process about model files and devices: the API never loads the engine."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx.workflows.errors import ConfigError, EngineUnusable, InvalidInput, LmxError
from lmx.workflows.models import Need

INSTALL_ENGINE = "install it: pip install 'lmx[local]' (from a checkout: make setup)"
_TIMEOUT_S = 600


@dataclass(frozen=True)
class Inspection:
    """A model file: what it says of itself, its hash if asked for, its exact needs by n_ctx."""

    path: str
    size_bytes: int
    sha256: str | None
    info: dict[str, Any]
    needs: dict[int, Need]


def engine_installed() -> bool:
    """Whether the package lmx.engine is there, without importing it."""
    try:
        return importlib.util.find_spec("lmx.engine") is not None
    except ImportError:
        return False


def inspect(
    path: Path,
    n_ctx: Sequence[int] = (),
    *,
    kv_type: str = "f16",
    sha256: bool = False,
    device: str = "auto",
) -> Inspection:
    """Inspect a model file; nothing of its weights is loaded.

    A context length above what the model was trained for is measured at that, with a KV cache of
    type `kv_type`. Raises InvalidInput for a file that is no usable model, or cannot have such a
    cache, ConfigError without the engine.
    """
    lengths = [word for length in n_ctx for word in ("--n-ctx", str(length))]
    hashing = ["--hash"] if sha256 else []
    cache = ["--kv-type", kv_type]
    answer = _ask([*lengths, *cache, *hashing, "--device", device, "--", str(path)])
    info = dict(answer["info"])
    return Inspection(
        path=info.pop("path"),
        size_bytes=info.pop("size_bytes"),
        sha256=info.pop("sha256"),
        info=info,
        needs={int(length): _need(bytes_) for length, bytes_ in answer["needs"].items()},
    )


@dataclass(frozen=True)
class DeviceDescription:
    """A device of this host: its product, and the bytes that lmx would use of it by default.

    `in_use` is what its driver counts, None on a CPU; `gpu` is what NVML tells (as in
    `lmx vram --json`), or None for the reason in `gpu_problem`.
    """

    name: str
    description: str
    cap: int
    in_use: int | None
    gpu: dict[str, Any] | None
    gpu_problem: str | None


def describe_device(device: str) -> DeviceDescription:
    """What `device` stands for on this host. Raises ConfigError."""
    try:
        answer = _ask(["--devices", "--device", device])
    except InvalidInput as error:
        raise ConfigError(str(error)) from None
    return DeviceDescription(
        answer["device"],
        answer["description"],
        answer["cap"],
        answer["in_use"],
        answer["gpu"],
        answer["gpu_problem"],
    )


def measure_determinism(
    path: Path, device: str, proofs: Path, *, kv_type: str = "f16"
) -> dict[str, Any]:
    """What `lmx.engine.determinism.measure` found, which is added to the file of proofs.

    Loads the model. Raises InvalidInput for a file that is no usable model or does not fit.
    """
    kept = ["--remember", str(proofs), "--kv-type", kv_type]
    return _ask(["--determinism", *kept, "--device", device, "--", str(path)])


def _need(estimate: dict[str, Any]) -> Need:
    return Need(
        estimate["weights_bytes"],
        estimate["kv_bytes"],
        estimate["compute_bytes"],
        estimate["streamed_bytes"],
    )


def _ask(arguments: Sequence[str]) -> dict[str, Any]:
    if not engine_installed():
        raise ConfigError("the engine is not installed, so models cannot run", hint=INSTALL_ENGINE)
    # -P: a folder called `lmx` where the user happens to stand must not be imported.
    command = [sys.executable, "-P", "-m", "lmx.workers.inspect", *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LmxError(f"inspecting took longer than {_TIMEOUT_S} s and was given up") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise ConfigError(
            f"the inspecting process ended with code {done.returncode}: {reason[-1]}",
            hint="lmx doctor tells more",
        ) from None
    if problem := answer.get("error"):
        if problem["code"] == "engine_missing":
            raise EngineUnusable(problem["message"])
        raise InvalidInput(problem["message"])
    return answer
