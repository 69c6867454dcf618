"""What has come of an answer that is not whole, for reading: never looking like a result."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from lmx.workflows.partial import PARTS, SHOWN

if TYPE_CHECKING:
    from lmx.workflows.views import TaskView

#: So many characters of an answer fit on a task's line in a tree.
_GLIMPSE: Final = 80
_CALLED: Final = {"text": "answer", "reasoning": "reasoning", "tool_calls": "tool calls"}


def paragraphs(task: "TaskView", lines: int | None = None) -> Iterator[tuple[str, str]]:
    """A heading, and the end, of at most so many lines, for each part that has begun."""
    for name, text, length in _parts(task):
        shown = text[-SHOWN:] if lines is None else _last_lines(text, lines)
        count = f"{length:,} characters"
        if len(shown) < length:
            count = f"the last {len(shown):,} of {count}"
        if task.state == "leased":
            heading = f"{_CALLED[name]} so far, {count}:"
        else:
            attempt = (task.partial or {}).get("attempt")
            heading = f"partial {_CALLED[name]} of attempt {attempt}, no result, {count}:"
        yield heading, shown.strip("\n")


def _last_lines(text: str, lines: int) -> str:
    """The end of a text, in at most so many lines on a screen of ordinary width."""
    return "\n".join(text[-lines * _GLIMPSE :].split("\n")[-lines:])


def glimpse(task: "TaskView") -> str | None:
    """The last words of what a call is writing, on one line."""
    for _, text, length in _parts(task):
        words = " ".join(text.split())
        if words:
            cut = len(words) > _GLIMPSE or length > len(text)
            return f"...{words[-_GLIMPSE:]}" if cut else words
    return None


def kept(task: "TaskView") -> str | None:
    """How much there is of an answer that never was whole."""
    if task.finished and (parts := list(_parts(task))):
        return f"{sum(length for _, _, length in parts):,} characters had come"
    return None


def _parts(task: "TaskView") -> Iterator[tuple[str, str, int]]:
    """Name, end and length of each part that has begun."""
    partial: dict[str, Any] = task.partial or {}
    for name in PARTS:
        if text := partial.get(name):
            yield name, _readable(str(text)), int(partial.get(f"{name}_length", 0))


def _readable(text: str) -> str:
    """Text that cannot steer the terminal on which it is shown."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
