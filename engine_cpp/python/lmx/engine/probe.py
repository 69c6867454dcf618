"""The child process that opens a model file first: ``python -m lmx.engine.probe PATH``.

Prints one line of JSON: the fields of ModelInfo, or an error.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from lmx.engine import _core
from lmx.engine.errors import ModelFileError, OutOfMemory
from lmx.engine.files import ModelInfo


def main() -> None:
    sys.stdout.write(json.dumps(describe(sys.argv[1])) + "\n")


def describe(path: str) -> dict[str, object]:
    """What the process answers: the fields of ModelInfo, or an error."""
    try:
        info = _core.inspect(path)
    except ModelFileError as error:
        return {"error": _printable(str(error))}
    except OutOfMemory:  # says nothing about the file
        raise
    except Exception as error:
        return {"error": _printable(f"{path}: cannot be used: {error}")}
    return asdict(
        ModelInfo(
            path=info.path,
            size_bytes=info.size_bytes,
            arch=_printable(info.arch),
            name=_printable(info.name),
            quantization=info.quantization,
            n_params=info.n_params,
            n_layers=info.n_layers,
            n_ctx_train=info.n_ctx_train,
            n_vocab=info.n_vocab,
            chat_template=info.chat_template,
            bos=info.bos,
            eos=info.eos,
            adds_bos=info.adds_bos,
            generates=info.generates,
            pooling=info.pooling,
            n_embd=info.n_embd,
        )
    )


def _printable(text: str) -> str:
    """Without control characters: what a file says must not steer the terminal that shows it."""
    return "".join(char if char.isprintable() else "?" for char in text)


if __name__ == "__main__":
    main()
