"""Named fault points, for tests that kill a process at an exact place.

`LMX_FAULT=finish.before:3` kills the process (SIGKILL, as a power cut would) the third time that
it is about to commit a finish; `finish.after` kills it when the commit is done and nobody in the
process has heard of it. The kinds are those of `operations.ORDER`, `claim`, and of batches:
`batch` (it is written down), `send_batch` (the provider has it), `record_batch` (results); and
`prune`, a piece of what ended long ago.
"""

import os
import signal
from collections.abc import Iterable

_name, _, _count = os.environ.get("LMX_FAULT", "").partition(":")
_left = int(_count or 1)


def points(kinds: Iterable[str], when: str) -> None:
    """Die here if one of `kinds` with `when` is the chosen point and its count has run down."""
    global _left
    if not _name or _name not in {f"{kind}.{when}" for kind in kinds}:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
