"""Texts to vectors: each text is a request of its own, and many share a decode."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.errors import InvalidRequest
from lmx.engine.estimates import context_spec
from lmx.engine.files import ModelInfo, StrPath, inspect_model
from lmx.engine.prompts import encodable
from lmx.engine.sampling import Sampling

Pooling = Literal["mean", "cls", "last"]

MAX_TEXTS = 4096
DEFAULT_N_CTX = 512


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each text, in order. Times are seconds, of the text that took longest."""

    vectors: list[list[float]]
    prompt_tokens: int
    wait_s: float
    load_s: float
    prefill_s: float


class EmbeddingRequest:
    """Texts on their way; ask for the result, or stop them."""

    def __init__(self, requests: Sequence[_core.Request], *, normalize: bool) -> None:
        self._requests = requests
        self._normalize = normalize

    @property
    def done(self) -> int:
        """How many texts are complete."""
        return sum(request.done for request in self._requests)

    def result(self, timeout: float | None = None) -> Embeddings:
        """Waits for all. Raises TimeoutError; what ended a text ends the others too."""
        until = None if timeout is None else time.monotonic() + timeout
        results = []
        try:
            for request in self._requests:
                left = None if until is None else max(0.0, until - time.monotonic())
                result = request.result(left)
                if result is None:
                    raise TimeoutError(f"{self.done} of {len(self._requests)} texts are complete")
                results.append(result)
        except TimeoutError:
            raise
        except BaseException:
            self.cancel()
            raise
        return Embeddings(
            [_unit(one.embedding) if self._normalize else list(one.embedding) for one in results],
            sum(one.prompt_tokens for one in results),
            max(one.wait_s for one in results),
            max(one.load_s for one in results),
            max(one.prefill_s for one in results),
        )

    def cancel(self) -> None:
        """Ends what is not complete. Idempotent."""
        for request in self._requests:
            request.cancel()


def submit_texts(
    core: _core.Engine,
    model: StrPath,
    texts: Sequence[str],
    *,
    normalize: bool,
    pooling: str | None,
    n_ctx: int | None,
    truncate: bool,
    deadline_s: float | None,
) -> EmbeddingRequest:
    """Queues a request for each text: see ``Engine.submit_embedding``."""
    info = inspect_model(model)
    checked = _check_texts(texts)
    length = n_ctx or min(DEFAULT_N_CTX, info.n_ctx_train or DEFAULT_N_CTX)
    spec = context_spec(length, 1, "f16", length, "auto", pooling_of(info, pooling))
    requests: list[_core.Request] = []
    try:
        for text in checked:
            request = core.submit(
                info.path,
                text,
                max_tokens=1,
                context=spec,
                sampling=Sampling(seed=0).to_core(),
                stops=[],
                deadline_s=deadline_s,
                constraint=None,
                preserved=[],
                logprobs=None,
                session="",
                mode="throughput",
                max_unread=1,
                exact_batch=1,
                truncate=truncate,
            )
            requests.append(request)
    except BaseException:
        EmbeddingRequest(requests, normalize=normalize).cancel()
        raise
    forward_logs()
    return EmbeddingRequest(requests, normalize=normalize)


def _check_texts(texts: Sequence[str]) -> list[str]:
    """Raises InvalidRequest, naming the text."""
    if isinstance(texts, str | bytes) or not 0 < len(texts) <= MAX_TEXTS:
        raise InvalidRequest(f"texts must be a list of 1 to {MAX_TEXTS} texts")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InvalidRequest(f"texts[{index}] is empty; give at least one character")
    return [encodable(text) for text in texts]


def pooling_of(info: ModelInfo, wanted: str | None) -> Pooling:
    """How to make one vector of a text's. Raises InvalidRequest.

    As asked for, else as the file says; mean for other encoders, and last for what generates.
    """
    if wanted is None and info.pooling == "rank":
        raise InvalidRequest(f"{info.path}: compares texts (a reranker); it has no vectors to give")
    chosen = wanted or info.pooling or ("last" if info.generates else "mean")
    for known in get_args(Pooling):
        if chosen == known:
            return known  # type: ignore[no-any-return]
    raise InvalidRequest(f"pooling is {chosen!r} but must be one of mean, cls, last")


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else list(vector)
