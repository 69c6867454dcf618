"""What a coordinator holds of the children it spawned."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from lmx.workflows.errors import TaskFailed

T_co = TypeVar("T_co", covariant=True)


@dataclass(slots=True)
class Child(Generic[T_co]):
    """A spawned child, known by its key. `Context.gather` turns it into its result."""

    key: str
    name: str
    _type: tuple[T_co, ...] = field(default=(), repr=False)


class ChildFailed(TaskFailed):
    """A gathered child failed or was cancelled. `child` is its id, `error` what it recorded."""

    code = "child_failed"

    def __init__(self, key: str, child: int, state: str, error: dict[str, Any] | None) -> None:
        reason = (error or {}).get("message", state)
        super().__init__(f"child {key!r} (task {child}) {state}: {reason}")
        self.child = child
        self.state = state
        self.error = error
