"""Embeddings by local models, as tasks: what their input says and what they may cost."""

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from lmx.workflows import models
from lmx.workflows.errors import InvalidInput
from lmx.workflows.generation import PlannedCall
from lmx.workflows.money import price

POOLINGS: Final = ("mean", "cls", "last")
#: Texts of one task: their vectors are in its row.
MAX_TEXTS: Final = 256
#: Bytes of all texts of one task.
MAX_BYTES: Final = 4_194_304
DEFAULT_N_CTX: Final = 512


def plan_embedding(
    conn: psycopg.Connection[Any],
    *,
    model: str,
    texts: Sequence[str],
    normalize: bool = True,
    pooling: str | None = None,
    n_ctx: int | None = None,
    truncate: bool = False,
) -> PlannedCall:
    """Check an embedding against the model's row and the devices.

    Each text may have `n_ctx` tokens (512, or what the model was trained for). Raises NotFound,
    InvalidInput, NeverFitsError with the three numbers.
    """
    _check_texts(texts)
    if pooling is not None and pooling not in POOLINGS:
        raise InvalidInput(f"pooling is {pooling!r}", hint=f"it must be {', '.join(POOLINGS)}")
    for name, value in (("normalize", normalize), ("truncate", truncate)):
        if not isinstance(value, bool):
            raise InvalidInput(f"{name} is {value!r}", hint="it must be true or false")
    row = models.get_model(conn, model)
    trained = int(row.info.get("n_ctx_train") or row.n_ctx)
    length = min(DEFAULT_N_CTX, trained) if n_ctx is None else n_ctx
    if not 0 < length <= trained:
        raise InvalidInput(f"n_ctx is {length}", hint=f"{model!r} takes 1 to {trained} tokens")
    models.refuse_oversized(conn, row, length, None)
    body = {
        "model": model,
        "texts": list(texts),
        "normalize": normalize,
        "n_ctx": length,
        "truncate": truncate,
    }
    if pooling is not None:
        body["pooling"] = pooling
    # No token is shorter than a byte, but for the two that a tokenizer may put around a text.
    most = sum(min(length, len(text.encode()) + 2) for text in texts)
    return PlannedCall(body, price(most, row.price_in), tokens=most)


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not 0 < len(texts) <= MAX_TEXTS:
        raise InvalidInput(f"texts must be a list of 1 to {MAX_TEXTS} texts")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"texts[{index}] is empty", hint="leave it out")
    if sum(len(text.encode()) for text in texts) > MAX_BYTES:
        raise InvalidInput(f"the texts have more than {MAX_BYTES} bytes", hint="use several tasks")
