"""The body of an embedding: hand the texts to the engine, return their vectors."""

from collections.abc import Mapping
from typing import Any, Final

from lmx.engine import EmbeddingRequest, Embeddings
from lmx.workers.gpu.calling import EngineCall
from lmx.workers.running import Execution
from lmx.workflows.lease import Lease
from lmx.workflows.models import Model
from lmx.workflows.money import price

_POLL_S: Final = 0.5
_DIGITS: Final = 7  # that a number of 32 bits has


class Embed(EngineCall[EmbeddingRequest]):
    """Embeds texts on one engine."""

    def submit(self, lease: Lease, model: Model) -> EmbeddingRequest:
        call: Mapping[str, Any] = lease.input
        return self.engine.submit_embedding(
            model.path,
            call["texts"],
            normalize=call["normalize"],
            pooling=call.get("pooling"),
            n_ctx=call["n_ctx"],
            truncate=call["truncate"],
            deadline_s=lease.seconds_left(),
        )

    def follow(
        self, execution: Execution, request: EmbeddingRequest, model: Model, waited: float
    ) -> tuple[Any, dict[str, Any]]:
        found = _result(execution, request, model)
        vectors = [[float(f"{value:.{_DIGITS}g}") for value in row] for row in found.vectors]
        return {"embeddings": vectors, "model": model.name}, _usage(found, model, waited)


def _result(execution: Execution, request: EmbeddingRequest, model: Model) -> Embeddings:
    while True:
        try:
            return request.result(_POLL_S)
        except TimeoutError:
            execution.task.report(phase="prefill", texts=request.done, model=model.name)


def _usage(found: Embeddings, model: Model, waited: float) -> dict[str, Any]:
    """Tokens, nano-dollars and seconds of a call."""
    return {
        "model": model.name,
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": 0,
        "cost": price(found.prompt_tokens, model.price_in),
        "memory_wait_s": round(waited + found.wait_s, 3),
        "load_s": round(found.load_s, 3),
        "prefill_s": round(found.prefill_s, 3),
    }
