"""Sessions of model calls: which calls go on from what an earlier one has computed, by name.

The keys and values that a call computed stay with the device that ran it. A later call of the same
session need not compute again what both begin with. The name decides about speed only, never about
the answer.
"""

from typing import Any, Final

from lmx.workflows.errors import InvalidInput

#: Characters of a name as it is given.
MAX_NAME: Final = 200


def session_name(given: Any, run: int | None) -> str:
    """The name by which the engine knows the session that a call was given.

    A call of a coordinator belongs to its `run`: two runs of one workflow never meet ("17/lead").
    A call submitted by itself, or a name with a slash before it, is of a session that all who
    name it share ("/notes"). Raises InvalidInput.
    """
    if not isinstance(given, str) or not given.strip("/ "):
        raise InvalidInput("session must be a name")
    if len(given) > MAX_NAME or not given.isprintable():
        raise InvalidInput(f"session must be a name of at most {MAX_NAME} printable characters")
    if run is None or given.startswith("/"):
        return "/" + given.removeprefix("/")
    return f"{run}/{given}"
