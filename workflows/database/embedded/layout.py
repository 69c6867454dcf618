"""Where the embedded server keeps its files under a home folder."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lmx.workflows.errors import DatabaseUnavailable

USER = DATABASE = "lmx"
PORT = 5432

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, one of them the closing NUL.
SOCKET_PATH_LIMIT = 103


@dataclass(frozen=True)
class Layout:
    """The folders and files of one embedded server."""

    home: Path

    @property
    def root(self) -> Path:
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def stopped(self) -> Path:
        """Exists while the server is down because somebody asked for it."""
        return self.root / "stopped"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def start_log(self) -> Path:
        """What the server said before its log collector ran."""
        return self.logs / "start.log"

    @property
    def socket_dir(self) -> Path:
        """Where the Unix socket is: under the home if its path allows, else in a short folder."""
        inside = self.root / "run"
        if can_hold_a_socket(inside):
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lmx-{digest}"


def can_hold_a_socket(folder: Path) -> bool:
    """Return whether a socket in `folder` is within the system's limit and nameable in a URL.

    libpq takes a comma in the folder's name for the end of one host and the start of the next.
    """
    return len(os.fsencode(socket_file(folder))) <= SOCKET_PATH_LIMIT and "," not in str(folder)


def socket_file(folder: Path) -> Path:
    """Return the socket that a server listening in `folder` creates."""
    return folder / f".s.PGSQL.{PORT}"


def url_of(socket_dir: Path, database: str = DATABASE) -> str:
    """Return the libpq URL of a database on the server whose socket is in `socket_dir`."""
    return f"postgresql://{USER}@/{database}?host={quote(str(socket_dir), safe='')}"


def create_root(layout: Layout) -> None:
    """Create the home and its `postgres` folder, or say in one line why that is impossible."""
    try:
        layout.home.mkdir(parents=True, exist_ok=True)
        layout.root.mkdir(mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            # The server runs as another user (see server_user): it must be able to pass.
            layout.home.chmod(layout.home.stat().st_mode | 0o011)
            layout.root.chmod(0o755)
        layout.lock.touch(mode=0o600)
    except OSError as error:
        raise _unusable(layout, error) from None


def _unusable(layout: Layout, error: OSError) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"the database's folder {layout.root} cannot be used: {error.strerror}",
        hint="set LMX_HOME to a folder that you can write, or LMX_DATABASE_URL to a server",
    )


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """Hold the home's lock: one process at a time initialises, starts or stops the server.

    The kernel drops the lock when its holder dies, so it can never be left behind.
    """
    try:
        descriptor = os.open(layout.lock, os.O_RDWR)
    except OSError as error:
        raise _unusable(layout, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
