"""What a model file is and needs, and what the device is: one line of JSON on standard output.

    python -m lmx.workers.inspect --n-ctx 2048 MODEL.gguf
    python -m lmx.workers.inspect --devices
    python -m lmx.workers.inspect --determinism --remember PROOFS.json MODEL.gguf

A process of its own, so that programs which must not load the engine (the command line, the HTTP
server) can ask. What cannot be answered is `{"error": {"code": ..., "message": ...}}`.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

EXIT_BAD_INPUT = 2
EXIT_ENVIRONMENT = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one question; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lmx.workers.inspect", description=__doc__)
    parser.add_argument("file", nargs="?", help="a GGUF file")
    parser.add_argument(
        "--n-ctx",
        type=int,
        action="append",
        default=[],
        help="measure this length, or what the model was trained for",
    )
    parser.add_argument("--kv-type", default="f16", help="what the KV cache is kept as")
    parser.add_argument("--device", default="auto", help="the device to estimate for")
    parser.add_argument("--hash", action="store_true", help="also the file's SHA-256")
    parser.add_argument("--devices", action="store_true", help="describe the device instead")
    parser.add_argument(
        "--determinism", action="store_true", help="measure whether batching changes bits"
    )
    parser.add_argument("--remember", help="the file of proofs to add that to")
    asked = parser.parse_args(arguments)
    if (asked.file is None) == (not asked.devices):
        parser.error("give either a FILE or --devices")
    try:
        if asked.devices:
            answer = _device(asked.device)
        else:
            answer = _determinism(asked) if asked.determinism else _model(asked)
    except ImportError as error:
        return _refuse("engine_missing", str(error), EXIT_ENVIRONMENT)
    except Exception as error:
        return _refuse(type(error).__name__, str(error), EXIT_BAD_INPUT)
    _say(answer)
    return 0


def _model(asked: argparse.Namespace) -> dict[str, Any]:
    from lmx.engine import chat_features, estimate, inspect_model, least_streamed

    info = inspect_model(asked.file, sha256=asked.hash)
    lengths = sorted({min(n_ctx, info.n_ctx_train) for n_ctx in asked.n_ctx})
    kv_type = asked.kv_type if info.generates else "f16"
    return {
        "info": {**asdict(info), **asdict(chat_features(info))},
        "needs": {
            str(n_ctx): {
                **asdict(estimate(info.path, n_ctx, kv_type=kv_type, device=asked.device)),
                "streamed_bytes": least_streamed(
                    info.path, n_ctx, kv_type=kv_type, device=asked.device
                ),
            }
            for n_ctx in lengths
        },
    }


def _determinism(asked: argparse.Namespace) -> dict[str, Any]:
    from lmx.engine.determinism import measure, remember

    proof = measure(asked.file, device=asked.device, kv_type=asked.kv_type)
    if asked.remember:
        remember(asked.remember, proof)
    return asdict(proof)


def _device(name: str) -> dict[str, Any]:
    from lmx.engine import Engine, device_info
    from lmx.workers.gpu.nvml import Nvml

    with Engine(device=name) as engine:
        snapshot = engine.snapshot()
    info = device_info(snapshot["device"])
    nvml = Nvml(info.pci_bus_id)
    reading = nvml.read()
    nvml.close()
    return {
        "device": snapshot["device"],
        "cap": snapshot["cap"],
        "in_use": snapshot["in_use"],
        "description": info.description,
        "gpu": None if reading is None else asdict(reading),
        "gpu_problem": nvml.problem,
    }


def _refuse(code: str, message: str, exit_code: int) -> int:
    _say({"error": {"code": code, "message": " ".join(message.split())}})
    return exit_code


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    sys.exit(main())
