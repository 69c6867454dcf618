"""The sessions that this device holds, for other devices to leave their calls to it."""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

#: How many names are told: those used last.
MOST: Final = 256


class HeldSessions:
    """Names of the sessions that were used last here. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names: OrderedDict[str, None] = OrderedDict()

    def used(self, name: str | None) -> None:
        """A call of this session has ended here."""
        if name is None:
            return
        with self._lock:
            self._names[name] = None
            self._names.move_to_end(name)
            while len(self._names) > MOST:
                self._names.popitem(last=False)

    def found(self, snapshot: Mapping[str, Any]) -> None:
        """Take over what the engine found in files of an earlier process, the oldest first."""
        saved = snapshot.get("host", {}).get("saved", ())
        for each in sorted(saved, key=lambda each: each["idle_s"], reverse=True):
            self.used(each["session"] or None)

    def names(self) -> list[str]:
        """The names, those used last at the end."""
        with self._lock:
            return list(self._names)
