"""Creates the data folder of the embedded server: whole, or not at all."""

import shutil
import tempfile
from pathlib import Path

from lmx.workflows.database.embedded.binaries import MAJOR_VERSION
from lmx.workflows.database.embedded.diagnosis import start_failure
from lmx.workflows.database.embedded.layout import DATABASE, USER, Layout
from lmx.workflows.database.embedded.server_config import INCLUDES
from lmx.workflows.database.embedded.server_user import Command, ServerUser
from lmx.workflows.errors import DatabaseUnavailable

# Bytes compare as code points everywhere, whatever the machine's language.
_LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]


def initialise(layout: Layout, programs: Path, user: ServerUser) -> None:
    """Create the data folder with the `lmx` database in it; the caller holds the lock.

    The work happens in a folder beside it that is renamed at the end, so that a crash or a full
    disk leaves nothing that looks like a database.
    """
    for leftover in layout.root.glob("init-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        new = Path(tempfile.mkdtemp(prefix="init-", dir=layout.root))
    except OSError as error:
        raise start_failure(layout, str(error)) from None
    try:
        user.own(new, 0o700)
        initdb: Command = [
            programs / "initdb",
            "-D",
            new,
            "-U",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
        ]
        _run(layout, user, [*initdb, *_LOCALE, "--no-instructions"])
        create = f"CREATE DATABASE {DATABASE};"
        single: Command = [
            "/bin/sh",
            "-c",
            'printf "%s\\n" "$1" | "$2" --single -D "$3" template1',
            "sh",
        ]
        _run(layout, user, [*single, create, programs / "postgres", new])
        with (new / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(INCLUDES)
        new.rename(layout.data)
    except OSError as error:
        raise start_failure(layout, str(error)) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _run(layout: Layout, user: ServerUser, command: Command) -> None:
    done = user.run(command)
    # A single-user server reports a failed statement only by its words.
    if done.returncode != 0 or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
        raise start_failure(layout, done.stdout)


def check_version(layout: Layout) -> None:
    """Raise DatabaseUnavailable if the existing data belongs to another major version."""
    try:
        version = (layout.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise DatabaseUnavailable(
            f"{layout.data} is not a Postgres data folder",
            hint="move it away, and lmx creates a new one",
        ) from None
    if version != str(MAJOR_VERSION):
        raise DatabaseUnavailable(
            f"the data in {layout.data} was made by Postgres {version}; this lmx brings"
            f" Postgres {MAJOR_VERSION}",
            hint="dump it with the old version and restore it (docs/database.md), or move it away",
        )
