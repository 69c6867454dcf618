"""What a coordinator holds of the children it spawned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from lmx.workflows.errors import BudgetExceeded, InvalidInput, TaskFailed

#: How many of the other children that failed an error names.
_NAMED: Final = 8

T_co = TypeVar("T_co", covariant=True)


@dataclass(slots=True)
class Child(Generic[T_co]):
    """A spawned child, known by its key. `Context.gather` turns it into its result.

    `validate` judges that: True or None is a good one, False or a text (why) is not.
    """

    key: str
    name: str
    validate: Callable[[Any], bool | str | None] | None = field(default=None, repr=False)
    _type: tuple[T_co, ...] = field(default=(), repr=False)


class ChildFailed(TaskFailed):
    """A gathered child failed or was cancelled. `child` is its id, `error` what it recorded.

    `others` are the keys of the children gathered with it that did not succeed either.
    """

    code = "child_failed"

    def __init__(
        self,
        key: str,
        child: int,
        state: str,
        error: dict[str, Any] | None,
        others: Sequence[str] = (),
    ) -> None:
        reason = (error or {}).get("message", state)
        super().__init__(f"child {key!r} (task {child}) {state}: {reason}{_and_others(others)}")
        self.key = key
        self.child = child
        self.state = state
        self.error = error
        self.others = tuple(others)

    def beside(self, others: Sequence[str]) -> "ChildFailed":
        """Return the same failure, naming the other children that did not succeed."""
        return ChildFailed(self.key, self.child, self.state, self.error, others)


def _and_others(keys: Sequence[str]) -> str:
    if not keys:
        return ""
    named = ", ".join(repr(key) for key in keys[:_NAMED])
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return f" (nor did {len(keys)} of its siblings succeed: {named}{more})"


def raise_failures(children: Sequence[Child[Any]], results: Sequence[Any]) -> None:
    """Raise the first failure among the results; it names the others."""
    failed = {
        child.key: result
        for child, result in zip(children, results, strict=True)
        if isinstance(result, ChildFailed | BudgetExceeded)
    }
    for key, failure in failed.items():
        others = [other for other in failed if other != key]
        raise failure.beside(others) if isinstance(failure, ChildFailed) else failure


def keys_of(children: Sequence[Any]) -> list[str]:
    """The keys of children. Raises InvalidInput for what is none."""
    for child in children:
        if not isinstance(child, Child):
            raise InvalidInput(
                f"a {type(child).__name__} is no child",
                hint="give what ctx.spawn or ctx.generate returned, one by one",
            )
    return [child.key for child in children]
