"""The operating-system user that the embedded server runs as.

Postgres refuses to run as root. An ordinary user runs it as himself; for root it is the owner of
the existing data, else the system's `postgres` user, else a system user made for the purpose.
"""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx.workflows.errors import DatabaseUnavailable

_CREATED_USER = "lmx-postgres"

Command = list[str | Path]


@dataclass(frozen=True)
class ServerUser:
    """Who owns the data and runs the server; `switch` when that is not the present user."""

    uid: int
    gid: int
    name: str
    switch: bool

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments with which `subprocess` runs a program as this user."""
        options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL, "env": _environment()}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, command: Command) -> "subprocess.CompletedProcess[str]":
        """Run `command` to its end as this user, messages in English; return its output."""
        return subprocess.run(
            [str(part) for part in command],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **self.options(),
        )

    def can(self, test: str, path: Path) -> bool:
        """Return whether this user passes `test` (r, w or x, as in test(1)) for `path`."""
        return self.run(["/bin/sh", "-c", f'test -{test} "$1"', "sh", path]).returncode == 0

    def require_entry(self, folder: Path) -> None:
        """Raise DatabaseUnavailable unless this user may enter `folder`."""
        if not self.can("x", folder):
            raise DatabaseUnavailable(
                f"Postgres runs as the user {self.name}, who may not enter {folder}",
                hint="set LMX_HOME to a folder that every user can reach, such as /var/lib/lmx",
            )

    def own(self, path: Path, mode: int) -> None:
        """Give `path` to this user with the permissions `mode`."""
        if self.switch:
            os.chown(path, self.uid, self.gid)
        path.chmod(mode)


def _environment() -> dict[str, str]:
    """Only what the programs need: the environment of lmx may hold passwords and provider keys."""
    kept = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")
    return {"LC_ALL": "C"} | {name: os.environ[name] for name in kept if name in os.environ}


def server_user(data: Path) -> ServerUser:
    """Return the user for the server whose data folder is `data`, which need not exist yet."""
    here = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if here != 0:
        if owner not in (None, here):
            raise DatabaseUnavailable(
                f"the database in {data} belongs to another user ({_name(owner)})",
                hint="run lmx as that user, or set LMX_HOME to a folder of your own",
            )
        return ServerUser(here, os.getegid(), _name(here), switch=False)
    if owner:
        entry = pwd.getpwuid(owner)
    else:
        entry = _find("postgres") or _find(_CREATED_USER) or _create_user()
    return ServerUser(entry.pw_uid, entry.pw_gid, entry.pw_name, switch=True)


def _name(uid: int | None) -> str:
    try:
        return pwd.getpwuid(uid or 0).pw_name
    except KeyError:
        return f"uid {uid}"


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _create_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, _CREATED_USER], check=True, capture_output=True)
        return pwd.getpwnam(_CREATED_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise DatabaseUnavailable(
            "Postgres does not run as root, and no system user could be created for it",
            hint="run lmx as an ordinary user, or set LMX_DATABASE_URL to a server",
        ) from None
