"""The registered models as this host has them: which files are here and are what they should be."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from lmx.engine import file_sha256

from lmx.workflows.database.hotpool import HotPool
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import Model, get_model, list_models


@dataclass(slots=True)
class LocalModels:
    """Knows the registered models by name. Thread-safe; `refresh` reads the database."""

    pool: HotPool
    _models: dict[str, Model] = field(default_factory=dict)
    _checked: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    _checking: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self) -> None:
        """Read the registered models again."""
        with self.pool.borrow() as conn:
            self._models = {model.name: model for model in list_models(conn)}

    def find(self, name: str) -> Model | None:
        """The model called `name`, as of the last refresh."""
        return self._models.get(name)

    def names(self) -> list[str]:
        """The names of the registered models."""
        return sorted(self._models)

    def is_here(self, model: Model) -> bool:
        """Whether the model's file is on this host, by its size."""
        try:
            return Path(model.path).stat().st_size == model.size_bytes
        except OSError:
            return False

    def require(self, name: str) -> Model:
        """The model called `name`, its file checked against its hash once per version of the file.

        Raises NotFound, or InvalidInput when the file is missing or was changed.
        """
        with self.pool.borrow() as conn:
            model = get_model(conn, name)
        self._check(model)
        return model

    def _check(self, model: Model) -> None:
        path = Path(model.path)
        try:
            stat = path.stat()
        except OSError as error:
            raise InvalidInput(
                f"the file of model {model.name!r} cannot be read: {model.path}: {error.strerror}",
                hint="put it back, or add the model again with `lmx models add`",
            ) from None
        version = (model.sha256, stat.st_size, stat.st_mtime_ns)
        with self._checking:
            if self._checked.get(model.path) == version:
                return
            if file_sha256(path) != model.sha256:
                raise InvalidInput(
                    f"the file of model {model.name!r} has changed since it was added",
                    hint=f"add it again: lmx models add --replace {model.path}",
                )
            self._checked[model.path] = version
