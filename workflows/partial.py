"""What has come of an answer that is not whole yet, and may never be.

While the call runs, the end of it is shown in the task's progress; if the call ends before its
answer is whole, what had come is kept under the task's error. It is never a result.
"""

from collections.abc import Callable
from typing import Any, Final

from lmx.workflows.retries import clean

#: Where a task's progress, and its error, hold what has come of an answer. No keyword of `report`
#: has such a name.
PARTIAL: Final = "partial answer"
#: So many characters of each part are shown while the call runs: its end.
SHOWN: Final = 2_000
#: So many characters of each part are kept of a call that has ended: its end, mostly all.
KEPT: Final = 100_000
#: The parts of an answer.
PARTS: Final = ("text", "reasoning", "tool_calls")
_PIECES: Final = 512


class Partial:
    """The parts of one attempt's answer so far. One thread adds to it, any thread may look.

    `redact` takes out of a text, which may go on, what must not be seen.
    """

    __slots__ = ("_attempt", "_parts", "_redact")

    def __init__(self, attempt: int, redact: Callable[[str], str] = str) -> None:
        self._attempt = attempt
        self._redact = redact
        self._parts: dict[str, list[str]] = {name: [] for name in PARTS}

    def add(self, text: str = "", reasoning: str = "", tool_calls: str = "") -> None:
        """Take in what has come of each part since the last time."""
        if text:
            self._extend("text", text)
        if reasoning:
            self._extend("reasoning", reasoning)
        if tool_calls:
            self._extend("tool_calls", tool_calls)

    def _extend(self, name: str, piece: str) -> None:
        pieces = self._parts[name]
        if len(pieces) < _PIECES:
            pieces.append(piece)
        else:  # a new list, because another thread may be reading this one
            self._parts[name] = ["".join(pieces), piece]

    def end(self, most: int) -> dict[str, Any] | None:
        """The last `most` characters of each part, and how many it has; None before anything came.

        {"attempt": 1, "text": "... so far", "text_length": 7310}: other parts as the text.
        """
        told: dict[str, Any] = {}
        for name in PARTS:
            if whole := self._redact("".join(self._parts[name])):
                told |= {name: clean(whole[-most:]), f"{name}_length": len(whole)}
        return {"attempt": self._attempt, **told} if told else None
