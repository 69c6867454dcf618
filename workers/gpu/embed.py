"""The body of an embedding: hand the texts to the engine, return their vectors."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from lmx.engine import EmbeddingRequest, Embeddings, Engine
from lmx.workers.gpu.failures import recorded
from lmx.workers.gpu.models import LocalModels
from lmx.workers.running import Execution
from lmx.workflows.lease import Lease
from lmx.workflows.models import Model
from lmx.workflows.money import price

_POLL_S: Final = 0.5
_DIGITS: Final = 7  # that a number of 32 bits has


class Embed:
    """Embeds texts on one engine. `started` returns how long a call waited for memory."""

    def __init__(
        self,
        engine: Engine,
        models: LocalModels,
        started: Callable[[int], float],
        freed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._models = models
        self._started = started
        self._freed = freed

    def __call__(self, execution: Execution) -> tuple[Any, dict[str, Any] | None]:
        """Return the vectors and the usage. Raises what `Executor` records."""
        lease = execution.task.lease
        try:
            with recorded(execution):
                model = self._models.require(lease.input["model"])
                request = self._submit(lease, model)
                waited = self._started(lease.task_id)
                execution.stop = lambda _: request.cancel()
                found = _follow(execution, request, model)
        finally:
            self._started(lease.task_id)
            self._freed()
        vectors = [[float(f"{value:.{_DIGITS}g}") for value in row] for row in found.vectors]
        return {"embeddings": vectors, "model": model.name}, _usage(found, model, waited)

    def _submit(self, lease: Lease, model: Model) -> EmbeddingRequest:
        call: Mapping[str, Any] = lease.input
        return self._engine.submit_embedding(
            model.path,
            call["texts"],
            normalize=call["normalize"],
            pooling=call.get("pooling"),
            n_ctx=call["n_ctx"],
            truncate=call["truncate"],
            deadline_s=lease.seconds_left(),
        )


def _follow(execution: Execution, request: EmbeddingRequest, model: Model) -> Embeddings:
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
