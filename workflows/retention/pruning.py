"""Prunes piece by piece, each in a short transaction: killed anywhere, it goes on when run again.

Any number of processes may prune at once: their pieces wait for each other.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from lmx.workflows import faults
from lmx.workflows.allowances.holding import fold_ended
from lmx.workflows.attachments.store import free_loose
from lmx.workflows.control.transaction import transact
from lmx.workflows.database.connect import Database
from lmx.workflows.errors import InvalidInput
from lmx.workflows.retention.kept import mark
from lmx.workflows.retention.runs import delete_runs, not_counted, trees
from lmx.workflows.retention.strands import RECORDS, RUNS, Connection, Strand, delete, look
from lmx.workflows.units import DAY_S

#: What ended less than so many seconds ago is never pruned: nobody has slept over it.
LEAST_S: Final = DAY_S

# One piece at a time per database; an arbitrary number that nothing else uses ("lmx\0pr").
_LOCK_KEY: Final = 0x6C6D_7800_7072


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted (or, in a dry run, would be), by kind; runs that ended before `before`.

    Runs themselves only if they ended before `runs_before`, None if they were not asked for.
    """

    before: datetime
    runs_before: datetime | None
    dry_run: bool
    counts: Mapping[str, int]


def prune(
    database: Database,
    older_than_s: float,
    *,
    runs: bool = False,
    dry_run: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> Pruned:
    """Delete the records of runs that ended so many seconds ago; with `runs`, these runs too.

    Asks `go_on` before each piece and ends early when it says no. Raises InvalidInput for an age
    of less than a day.
    """
    if older_than_s < LEAST_S:
        raise InvalidInput("what ended less than a day ago is never pruned", hint="write 1d or 90d")
    before, runs_before = transact(database, lambda conn: _begin(conn, older_than_s, runs, dry_run))
    counts: Counter[str] = Counter()
    for strand in RECORDS:
        take: _Take = _count if dry_run else _delete_records
        counts += _each_piece(database, strand, before, take, go_on)
    if runs_before is not None:
        take = _count_runs if dry_run else partial(_delete_runs, runs_before)
        counts += _each_piece(database, RUNS, runs_before, take, go_on)
        while not dry_run and go_on() and (freed := transact(database, free_loose)).files:
            counts.update(files=freed.files, bytes=freed.bytes)
    return Pruned(
        before, runs_before, dry_run, {kind: counts[kind] for kind in _kinds(runs, dry_run)}
    )


def _begin(
    conn: Connection, older_than_s: float, runs: bool, dry_run: bool
) -> tuple[datetime, datetime | None]:
    """The times before which what has ended goes; written down before the first row does."""
    query = "SELECT greatest(now() - make_interval(secs => %s), 'epoch')"
    row = conn.execute(query, [older_than_s]).fetchone()
    assert row is not None
    before: datetime = row[0]
    runs_before = not_counted(conn, before) if runs else None
    if not dry_run:
        fold_ended(conn, before)
        mark(conn, "records", before)
        if runs_before is not None:
            mark(conn, "runs", runs_before)
    return before, runs_before


def _kinds(runs: bool, dry_run: bool) -> list[str]:
    # How many files only these runs refer to shows when they are gone.
    files = [] if dry_run else ["files", "bytes"]
    return [*(strand.table for strand in RECORDS), *(["runs", "tasks", *files] if runs else [])]


#: Deletes (or counts) what a piece has found, in its transaction; returns how many rows of a kind.
_Take = Callable[[Connection, Strand, Sequence[int]], Counter[str]]


def _each_piece(
    database: Database, strand: Strand, before: datetime, take: _Take, go_on: Callable[[], bool]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    after: int | None = 0
    while after is not None and go_on():
        after, taken = transact(database, partial(_piece, strand, before, take, after))
        faults.points(["prune"], "after")
        counts += taken
    return counts


def _piece(
    strand: Strand, before: datetime, take: _Take, after: int, conn: Connection
) -> tuple[int | None, Counter[str]]:
    conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
    found = look(conn, strand, before, after)
    taken = take(conn, strand, found.ids)
    faults.points(["prune"], "before")
    return found.last, taken


def _count(_: Connection, strand: Strand, ids: Sequence[int]) -> Counter[str]:
    return Counter({strand.table: len(ids)})


def _delete_records(conn: Connection, strand: Strand, ids: Sequence[int]) -> Counter[str]:
    for table, column in strand.also:
        delete(conn, table, column, ids)
    return Counter({strand.table: delete(conn, strand.table, "id", ids)})


def _count_runs(conn: Connection, _: Strand, roots: Sequence[int]) -> Counter[str]:
    return Counter(runs=len(roots), tasks=len(trees(conn, roots)))


def _delete_runs(
    before: datetime, conn: Connection, _: Strand, roots: Sequence[int]
) -> Counter[str]:
    runs, tasks = delete_runs(conn, before, roots)
    return Counter(runs=runs, tasks=tasks)
