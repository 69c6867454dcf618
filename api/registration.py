"""Brings a model file into the registry: inspected, hashed and measured first."""

import re
import stat
from pathlib import Path
from typing import Any, Final

import psycopg

from lmx.api.inspection import inspect
from lmx.workflows.call_options import check_kv_type
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import Model, Need, add_model, record_need

#: The context length of calls that name none, unless the model was trained for less.
DEFAULT_N_CTX: Final = 4096
SMALLEST_N_CTX: Final = 32

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def register(
    connection: psycopg.Connection[Any],
    path: Path,
    *,
    name: str | None = None,
    n_ctx: int | None = None,
    kv_type: str = "f16",
    prices: tuple[int, int] = (0, 0),
    replace: bool = False,
    device: str = "auto",
) -> Model:
    """Check a GGUF file and register it. `prices` are nano-dollars per million tokens, in and out.

    `n_ctx` and `kv_type` are those of the contexts of calls that do not say. Raises InvalidInput
    for a file that cannot be used, Conflict when the name stands for another file, ConfigError
    without the engine.
    """
    found = path.expanduser().absolute()
    chosen = name or found.name.removesuffix(".gguf").lower()
    if not _NAME.fullmatch(chosen):
        raise InvalidInput(
            f"{chosen!r} cannot be a model's name",
            hint="use letters, digits and . _ : / - (128 at most), with --name",
        )
    _check_file(found)
    check_n_ctx(n_ctx, None)
    check_kv_type(kv_type)
    inspected = inspect(
        found, [n_ctx or DEFAULT_N_CTX], kv_type=kv_type, sha256=True, device=device
    )
    check_n_ctx(n_ctx, inspected.info["n_ctx_train"])
    [length] = inspected.needs
    model = Model(
        name=chosen,
        path=inspected.path,
        sha256=str(inspected.sha256),
        size_bytes=inspected.size_bytes,
        n_ctx=length,
        price_in=prices[0],
        price_out=prices[1],
        info=inspected.info if kv_type == "f16" else {**inspected.info, "kv_type": kv_type},
        needs=inspected.needs,
    )
    return add_model(connection, model, replace=replace)


def measure(
    connection: psycopg.Connection[Any], model: Model, n_ctx: int, device: str = "auto"
) -> Need:
    """The exact need of one context length, measured now and recorded. Errors: as `register`."""
    check_n_ctx(n_ctx, model.info.get("n_ctx_train"))
    path = Path(model.path)
    _check_file(path)
    if path.stat().st_size != model.size_bytes:
        raise InvalidInput(
            f"{path} is no longer the file that was registered as {model.name!r}",
            hint=f"register it again: lmx models add --replace --name {model.name} {path}",
        )
    need = inspect(path, [n_ctx], kv_type=model.kv_type, device=device).needs[n_ctx]
    record_need(connection, model, n_ctx, need)
    return need


def check_n_ctx(n_ctx: int | None, trained: int | None) -> None:
    """Raise InvalidInput if `n_ctx` is no length of a context, or more than was trained."""
    high = trained or 1 << 24
    if n_ctx is not None and not SMALLEST_N_CTX <= n_ctx <= high:
        raise InvalidInput(
            f"the context length is {n_ctx}",
            hint=f"this model takes {SMALLEST_N_CTX} to {high} tokens",
        )


def _check_file(path: Path) -> None:
    """Name what is wrong with a path at once, without starting a process to find out."""
    if "\x00" in str(path):
        raise InvalidInput("the path contains a NUL character")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise InvalidInput(f"{path} is no regular file", hint="give a .gguf file")
        with path.open("rb") as stream:
            magic = stream.read(4)
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder", hint="give the .gguf file in it") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise InvalidInput(
            f"{path} is not a GGUF file (it begins with {magic!r})",
            hint="convert the model to GGUF, or download it again",
        )
