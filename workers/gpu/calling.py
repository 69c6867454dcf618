"""What every call of a local model does: hand it to the engine, follow it, give its room back."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from lmx.engine import Engine
from lmx.workers.gpu.failures import recorded
from lmx.workers.gpu.models import LocalModels
from lmx.workers.running import Execution
from lmx.workflows.lease import Lease
from lmx.workflows.models import Model


class Cancellable(Protocol):
    """What the engine gives for a call."""

    def cancel(self) -> None: ...


Submitted = TypeVar("Submitted", bound=Cancellable)


class EngineCall(ABC, Generic[Submitted]):
    """A task's body that calls one engine. `started` returns how long a call waited for memory."""

    def __init__(
        self,
        engine: Engine,
        models: LocalModels,
        started: Callable[[int], float],
        freed: Callable[[], None],
    ) -> None:
        self.engine = engine
        self._models = models
        self._started = started
        self._freed = freed

    def __call__(self, execution: Execution) -> tuple[Any, dict[str, Any] | None]:
        """Return the call's output and usage. Raises what `Executor` records."""
        lease = execution.task.lease
        try:
            with recorded(execution):
                model = self._models.require(lease.input["model"])
                request = self.submit(lease, model)
                waited = self._started(lease.task_id)
                execution.stop = lambda _: request.cancel()
                return self.follow(execution, request, model, waited)
        finally:
            self._started(lease.task_id)
            self._freed()

    @abstractmethod
    def submit(self, lease: Lease, model: Model) -> Submitted:
        """Hand the call to the engine. Raises what the engine refuses it with."""

    @abstractmethod
    def follow(
        self, execution: Execution, request: Submitted, model: Model, waited: float
    ) -> tuple[Any, dict[str, Any]]:
        """Report progress until the call is complete; return its output and usage."""
