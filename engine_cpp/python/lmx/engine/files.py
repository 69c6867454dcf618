"""Model files: what they are, and which are refused.

A file from a download may be truncated, damaged or hostile, and llama.cpp aborts the process on
some of those. So a file is first opened by a child process, once for each version of the file, and
what kills the child is an ordinary error here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.devices import cpu_count
from lmx.engine.errors import ModelFileError

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SMALLEST = 24  # bytes: magic, version, number of tensors, number of metadata entries
_PROBE_TIMEOUT_S = 300.0
_ALONE = {"CUDA_VISIBLE_DEVICES": "", "GGML_NO_BACKTRACE": "1"}  # an abort would start a debugger

StrPath = str | os.PathLike[str]
_Identity = tuple[str, int, int, int, int, int]
_Content = tuple[str, int]  # SHA-256 of the header, bytes of the file


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model file says of itself. ``sha256`` only when it was asked for.

    An encoder does not generate; ``pooling`` is how it makes one vector of a text's tokens, where
    the file says it, with ``n_embd`` numbers.
    """

    path: str
    size_bytes: int
    arch: str
    name: str
    quantization: str
    n_params: int
    n_layers: int
    n_ctx_train: int
    n_vocab: int
    chat_template: str | None
    bos: str
    eos: str
    adds_bos: bool
    generates: bool = True
    pooling: str = ""
    n_embd: int = 0
    sha256: str | None = None


_known: dict[_Identity, ModelInfo | str] = {}
_good: dict[_Content, ModelInfo] = {}
_known_lock = threading.Lock()


def inspect_model(path: StrPath, *, sha256: bool = False) -> ModelInfo:
    """Checks a model file and reads its metadata; nothing of its weights is loaded.

    Raises ModelFileError, in one line, for a file that is missing, truncated, damaged or cannot
    generate text. The check is done in a process of its own, once for all files of the same header
    and size: it looks at nothing else.
    """
    resolved = resolve(path)
    identity = _identify(resolved)
    with _known_lock:
        known = _known.get(identity)
    if known is None:
        known = _check_header(resolved, identity[3]) or _check_content(resolved, identity[3])
        if _identify(resolved) == identity:
            with _known_lock:
                _known[identity] = known
    if isinstance(known, str):
        raise ModelFileError(known)
    return replace(known, sha256=file_sha256(resolved)) if sha256 else known


def quantize(source: StrPath, target: StrPath, format: str, *, threads: int | None = None) -> Path:
    """Writes ``source`` with its weights in another ``format`` ("Q8_0", "Q4_K_M", "F16", ...).

    A file that is quantised already may be the source; it gets no better by that. Raises
    ModelFileError, InvalidRequest for an unknown format, EngineError when writing fails.
    """
    info = inspect_model(source)
    out = Path(target).absolute()
    _core.quantize(info.path, str(out), format, threads or cpu_count())
    forward_logs()
    return out


def file_sha256(path: StrPath) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(path: StrPath) -> str:
    """The absolute path with symbolic links resolved: the name of a model in the engine."""
    text = os.fspath(path)
    if "\0" in text:
        raise ModelFileError(f"{text!r}: a path cannot contain a NUL byte")
    try:
        return str(Path(text).expanduser().resolve())
    except (OSError, RuntimeError) as error:
        raise ModelFileError(f"{text}: cannot be resolved: {error}") from error


def _identify(path: str) -> _Identity:
    try:
        info = os.stat(path)  # noqa: PTH116 - one call, its error text kept
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror or error}; check the path") from error
    times = (info.st_mtime_ns, info.st_ctime_ns)  # the second one cannot be set back
    return (path, info.st_dev, info.st_ino, info.st_size, *times)


def _check_content(path: str, size: int) -> ModelInfo | str:
    content = _content_of(path, size)
    with _known_lock:
        known = _good.get(content) if content else None
    if known is not None:
        return replace(known, path=path)
    found = _probe(path)
    if content and isinstance(found, ModelInfo) and _content_of(path, size) == content:
        with _known_lock:
            _good[content] = found
    return found


def _content_of(path: str, size: int) -> _Content | None:
    """None for a file without a header that can be told from the rest, or with parts elsewhere."""
    header = _core.header_bytes(path)
    if header is None:
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.sha256(file.read(header)).hexdigest(), size
    except OSError:
        return None


def _check_header(path: str, size: int) -> str | None:
    if not Path(path).is_file():
        return f"{path}: not a regular file; give the path of a .gguf file"
    try:
        with Path(path).open("rb") as file:
            header = file.read(_SMALLEST)
    except OSError as error:
        return f"{path}: {error.strerror or error}; check its permissions"
    if size == 0:
        return f"{path}: is empty; download it again"
    if header[:4] != _MAGIC:
        return f"{path}: is not a GGUF file; convert the model to GGUF or give another file"
    if len(header) < _SMALLEST:
        return f"{path}: ends after {size} bytes; download it again"
    version = int.from_bytes(header[4:8], "little")
    if version not in _VERSIONS:
        return (
            f"{path}: has GGUF version {version}, which is not supported (2 and 3 are); "
            "convert the model again"
        )
    return None


def _probe(path: str) -> ModelInfo | str:
    command = [sys.executable, "-P", "-m", "lmx.engine.probe", path]
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=os.environ | _ALONE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{path}: takes longer than {_PROBE_TIMEOUT_S:.0f} s to open; the file is damaged"
    if child.returncode < 0:
        return f"{path}: crashes the loader; the file is damaged, download it again"
    lines = child.stdout.splitlines()
    if child.returncode != 0 or not lines:
        reason = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ModelFileError(f"{path}: cannot be checked: {reason or 'the checker failed'}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        return str(answer["error"])
    return ModelInfo(**answer)
