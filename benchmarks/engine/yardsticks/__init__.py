"""Builds the yardsticks: bare_loop (ours), llama-batched-bench and llama-server (llama.cpp's).

llama.cpp's are compiled from the source that the sdist of the installed llama-cpp-python carries,
against the very libllama that the engine uses. The source is downloaded by pip into `.cache` and
never becomes part of this repository. LLAMA_SOURCE names a copy that is already there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[2]
_BUILD = _ROOT / "build" / "yardsticks"
_CACHE = _ROOT / ".cache"
_RECIPE = ("CMakeLists.txt", "bare_loop.cpp")


@dataclass(frozen=True)
class Yardsticks:
    """The programs to compare with."""

    bare_loop: Path
    batched_bench: Path
    server: Path


def build() -> Yardsticks:
    """Builds what is missing or out of date; minutes the first time, nothing after that."""
    wanted = _fingerprint()
    stamp = _BUILD / "built-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        _compile(_source())
        stamp.write_text(wanted)
    return Yardsticks(_BUILD / "bare_loop", _BUILD / "llama-batched-bench", _BUILD / "llama-server")


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{version('llama-cpp-python')} {sys.prefix}".encode())
    for name in _RECIPE:
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()


def _source() -> Path:
    """The folder of llama.cpp's source, downloaded unless it is there."""
    if given := os.environ.get("LLAMA_SOURCE"):
        return Path(given)
    release = version("llama-cpp-python")
    folder = _CACHE / f"llama_cpp_python-{release}"
    source = folder / "vendor" / "llama.cpp"
    if not source.exists():
        print(f"downloading the source of llama-cpp-python {release}", file=sys.stderr)
        archive = _download(release)
        with tarfile.open(archive) as tar:
            tar.extractall(_CACHE, filter="data")
        archive.unlink()
    return source


def _download(release: str) -> Path:
    _CACHE.mkdir(exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(_CACHE)]
    subprocess.run([*pip, *options, f"llama-cpp-python=={release}"], check=True)
    [archive] = _CACHE.glob(f"llama_cpp_python-{release}.tar.gz")
    return archive


def _compile(source: Path) -> None:
    print("compiling the yardsticks (minutes, the first time)", file=sys.stderr)
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=tools["PATH"]) else []
    configure = ["cmake", "-S", _HERE, "-B", _BUILD, *generator, f"-DLLAMA_SOURCE={source}"]
    configure.append(f"-DPython_EXECUTABLE={sys.executable}")
    for command in (configure, ["cmake", "--build", _BUILD, "--parallel"]):
        subprocess.run([str(part) for part in command], check=True, env=tools, stdout=sys.stderr)
