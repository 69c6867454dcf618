"""Keeps files in the database, each once by its hash: every machine and every reboot finds them.

A file is kept as long as some task refers to it. `free_files` forgets the references of tasks that
ended long ago, or are gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from lmx.workflows.attachments.kinds import Kind
from lmx.workflows.attachments.parts import File, refuse_other_kind
from lmx.workflows.errors import NotFound
from lmx.workflows.operations import encode
from lmx.workflows.sql import statement

#: A file to which nothing refers is left alone for so long: its call may be about to be spawned.
_GRACE_S: Final = 3600.0
#: So many files at the most are freed in one transaction.
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A kept file: bytes, how many tasks refer to it, and when it was last submitted."""

    sha256: str
    media_type: str
    size: int
    tasks: int
    seen_at: Any


def complete(
    conn: psycopg.Connection[Any],
    parts: Sequence[dict[str, Any]],
    files: Mapping[str, File],
) -> dict[str, File]:
    """Put into `parts` what is known of their files. Raises NotFound for one that is not kept.

    What a part claims of a kept file does not count: the database knows it.
    """
    hashes = {part["sha256"]: File(part["sha256"]) for part in parts if "sha256" in part}
    files = {**hashes, **files}
    sizes = {sha256: file.size for sha256, file in files.items()}
    known = dict(files)
    for sha256, media_type, width, height, pages, size in _kept(conn, files):
        known[sha256] = replace(known[sha256], kind=Kind(media_type, width, height, pages))
        sizes[sha256] = size
    for part in parts:
        if "sha256" not in part:
            continue
        kind = known[part["sha256"]].kind
        if kind is None:
            raise NotFound(
                f"no file with the sha256 {part['sha256'][:12]}... is kept",
                hint="send its bytes",
            )
        refuse_other_kind(part["type"], kind.media_type, part.get("name") or "the file")
        part["media_type"], part["size"] = kind.media_type, sizes[part["sha256"]]
        figures = {"width": kind.width, "height": kind.height, "pages": kind.pages}
        part.update({name: figure for name, figure in figures.items() if figure})
    return known


def _kept(conn: psycopg.Connection[Any], files: Mapping[str, File]) -> list[tuple[Any, ...]]:
    """What the database knows of the files whose bytes are not here; it is not asked for none."""
    unknown = [sha256 for sha256, file in files.items() if file.kind is None]
    if not unknown:
        return []
    query = "SELECT sha256, media_type, width, height, pages, size FROM lmx.files"
    return conn.execute(f"{query} WHERE sha256 = ANY(%s)", [unknown]).fetchall()


def keep_files(conn: psycopg.Connection[Any], files: Iterable[File]) -> None:
    """Store files that are new; those that are known are not sent again."""
    brought = {file.sha256: file for file in files}
    if not brought:
        return
    ids = sorted(brought)
    conn.execute(
        "UPDATE lmx.files SET seen_at = now() WHERE sha256 = ANY(%s)"
        " AND seen_at < now() - make_interval(secs => %s)",
        [ids, _GRACE_S / 2],
    )
    known = conn.execute(
        "SELECT sha256 FROM lmx.files WHERE sha256 = ANY(%s) ORDER BY sha256 FOR KEY SHARE", [ids]
    ).fetchall()
    missing = set(ids) - {row[0] for row in known}
    for sha256 in sorted(missing):
        file = brought[sha256]
        if file.data is None or file.kind is None:
            raise NotFound(f"the file {sha256[:12]}... is kept no more", hint="send its bytes")
        conn.execute(
            "INSERT INTO lmx.files (sha256, media_type, width, height, pages, size, data)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                sha256,
                file.kind.media_type,
                file.kind.width,
                file.kind.height,
                file.kind.pages,
                file.size,
                file.data,
            ],
        )


def attach(conn: psycopg.Connection[Any], task_id: int, files: Sequence[File]) -> None:
    """Keep a new task's files, and that it refers to them. Part of the caller's transaction."""
    keep_files(conn, files)
    rows = [{"id": task_id, "sha256": file.sha256} for file in files]
    conn.execute(statement("attach"), {"ops": encode(rows)}, prepare=True)


def load_files(conn: psycopg.Connection[Any], ids: Sequence[str]) -> dict[str, bytes]:
    """The bytes of kept files by their hashes; what is kept no more is missing."""
    rows = conn.execute(
        "SELECT sha256, data FROM lmx.files WHERE sha256 = ANY(%s)", [list(ids)], binary=True
    ).fetchall()
    return {sha256: bytes(data) for sha256, data in rows}


def list_files(conn: psycopg.Connection[Any]) -> list[StoredFile]:
    """All kept files, the largest first."""
    rows = conn.execute(
        "SELECT f.sha256, f.media_type, f.size, count(t.task_id), f.seen_at FROM lmx.files f"
        " LEFT JOIN lmx.task_files t ON t.sha256 = f.sha256"
        " GROUP BY f.sha256 ORDER BY f.size DESC, f.sha256"
    )
    return [StoredFile(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Freed:
    """How many files went, and their bytes."""

    files: int
    bytes: int


def free_files(conn: psycopg.Connection[Any], ended_before_s: float) -> tuple[int, int]:
    """Forget the files of runs that ended so long ago; returns how many went, and their bytes.

    A file that another task refers to stays.
    """
    conn.execute(
        "DELETE FROM lmx.task_files f WHERE NOT EXISTS ("
        " SELECT FROM lmx.tasks t JOIN lmx.tasks r ON r.id = t.root_id WHERE t.id = f.task_id"
        " AND (r.finished_at IS NULL OR r.finished_at > now() - make_interval(secs => %s)))",
        [ended_before_s],
    )
    count = size = 0
    while True:
        with conn.transaction():
            freed = free_loose(conn)
        if not freed.files:
            return count, size
        count, size = count + freed.files, size + freed.bytes


def free_loose(conn: psycopg.Connection[Any]) -> Freed:
    """Free some of the files to which nothing refers. Part of the caller's transaction.

    Locked before they are looked at a second time, so that a submission at the same moment either
    finds them gone or keeps them.
    """
    loose = conn.execute(
        "SELECT f.sha256 FROM lmx.files f"
        " WHERE NOT EXISTS (SELECT FROM lmx.task_files t WHERE t.sha256 = f.sha256)"
        " AND f.seen_at < now() - make_interval(secs => %s)"
        " ORDER BY f.sha256 LIMIT %s FOR UPDATE SKIP LOCKED",
        [_GRACE_S, _AT_ONCE],
    ).fetchall()
    freed = conn.execute(
        "DELETE FROM lmx.files f WHERE f.sha256 = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM lmx.task_files t WHERE t.sha256 = f.sha256)"
        " RETURNING f.size",
        [[row[0] for row in loose]],
    ).fetchall()
    return Freed(len(freed), sum(row[0] for row in freed))
