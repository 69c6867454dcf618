"""The outcome of one check."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """What was found: `ok`; `warn`, something is missing that not everybody needs; or `fail`.

    `advice` says what to do, unless all is well.
    """

    subject: str
    state: State
    text: str
    advice: str | None = None
