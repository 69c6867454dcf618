"""The registered models as this host has them: which files are here and are what they should be.

A file is hashed once per version of it, by a thread of its own: a large one takes longer than a
heartbeat may. Until then its calls stay in the queue.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lmx.engine import ModelFileError, file_sha256
from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import Model, get_model, list_models

log = logging.getLogger("lmx.models")

#: One version of a file: its path, the hash it should have, its size and modification time.
_Version = tuple[str, str, int, int]


@dataclass(slots=True)
class LocalModels:
    """Knows the registered models by name. Thread-safe; `refresh` reads the database.

    `on_checked` runs when a file has been hashed, so that its calls can be claimed.
    """

    pool: HotPool
    on_checked: Callable[[], None]
    _models: dict[str, Model] = field(default_factory=dict)
    _checked: dict[_Version, bool] = field(default_factory=dict)
    _checking: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self) -> None:
        """Read the registered models again, and hash in the background what is new."""
        with self.pool.borrow() as conn:
            self._models = {model.name: model for model in list_models(conn)}
        if any(self.is_here(model) and not self.is_checked(model) for model in self.all()):
            threading.Thread(target=self._check_all, name="lmx-models", daemon=True).start()

    def find(self, name: str) -> Model | None:
        """The model called `name`, as of the last refresh."""
        return self._models.get(name)

    def all(self) -> list[Model]:
        """All models, as of the last refresh."""
        return list(self._models.values())

    def is_here(self, model: Model) -> bool:
        """Whether the model's file is on this host."""
        return Path(model.path).is_file()

    def is_checked(self, model: Model) -> bool:
        """Whether the file as it is now has been hashed, whatever came of it."""
        version = _version(model)
        return version is not None and version in self._checked

    def require(self, name: str) -> Model:
        """The model called `name`, with its file as it was added.

        Raises NotFound, or InvalidInput when the file is missing or was changed.
        """
        with self.pool.borrow() as conn:
            model = get_model(conn, name)
        if not self._check(model):
            raise InvalidInput(
                f"the file of model {model.name!r} is missing or has changed since it was added",
                hint=f"add it again: lmx models add --replace --name {model.name} FILE.gguf",
            )
        return model

    def _check_all(self) -> None:
        if not self._checking.acquire(blocking=False):
            return
        try:
            for model in self.all():
                if not self._check(model):
                    log.warning("the file of model %s is not what was added", model.name)
        finally:
            self._checking.release()
        self.on_checked()

    def _check(self, model: Model) -> bool:
        version = _version(model)
        if version is None:
            return False
        if version not in self._checked:
            try:
                same = file_sha256(model.path) == model.sha256
            except (OSError, ModelFileError):
                same = False
            self._checked[version] = same
        return self._checked[version]


def _version(model: Model) -> _Version | None:
    try:
        stat = Path(model.path).stat()
    except OSError:
        return None
    return model.path, model.sha256, stat.st_size, stat.st_mtime_ns
