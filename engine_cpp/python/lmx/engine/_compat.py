"""The llama.cpp that was compiled against must be the one that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from lmx.engine import _core


def check_llama_cpp() -> None:
    """Raises ImportError when llama-cpp-python was exchanged after the engine was built.

    The engine uses symbols that llama.cpp's headers do not declare; with another version they may
    be there and mean something else.
    """
    try:
        found = version("llama-cpp-python")
    except PackageNotFoundError:
        found = "none"
    if found != _core.BUILT_FOR:
        raise ImportError(
            f"lmx-engine was built for llama-cpp-python {_core.BUILT_FOR} but {found} is "
            "installed; install that version, or rebuild lmx-engine"
        )
