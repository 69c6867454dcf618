"""Names that several parts must agree on: the queues of `lmx up`, the task that calls a model."""

from typing import Final

#: Coordinators.
COORDINATORS: Final = "coordinator"
#: Worker functions that name no queue of their own.
DEFAULT: Final = "default"
#: Calls of local models.
GPU: Final = "gpu"
#: The name of tasks that call a local model.
GENERATE: Final = "generate"
#: The name of tasks that turn texts into vectors.
EMBED: Final = "embed"
