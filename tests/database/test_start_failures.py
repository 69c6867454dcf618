"""One line tells why the embedded server did not start, whatever else its log says."""

from pathlib import Path

import pytest

from lmx.workflows.database.embedded.diagnosis import start_failure, still_busy
from lmx.workflows.database.embedded.layout import Layout
from lmx.workflows.errors import DiskFull

REDIRECTED = """
2025-01-01 10:00:00.000 UTC [7] LOG:  redirecting log output to logging collector process
2025-01-01 10:00:00.000 UTC [7] HINT:  Future log output will appear in directory "/log".
"""
LOCKED = """
2025-01-01 10:00:00.001 UTC [7] LOG:  starting PostgreSQL 18.4
2025-01-01 10:00:00.002 UTC [7] FATAL:  lock file "/a home/.s.PGSQL.5432.lock" already exists
2025-01-01 10:00:00.002 UTC [7] HINT:  Is another postmaster (PID 6) using socket file "/a home"?
2025-01-01 10:00:00.003 UTC [7] LOG:  database system is shut down
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            REDIRECTED + LOCKED,
            'FATAL: lock file "/a home/.s.PGSQL.5432.lock" already exists'
            ' (Is another postmaster (PID 6) using socket file "/a home"?)',
        ),
        ("FATAL:  no\nDETAIL:  as\nHINT:  so\nERROR:  could not log it\n", "FATAL: no (as) (so)"),
        ("initdb: error: no such thing\ninitdb: hint: find it\n", "error: no such thing (find it)"),
        ('LOG:  invalid value for "x"\nFATAL:  file contains errors\n', 'invalid value for "x"'),
        (REDIRECTED, "it ended without a word"),
        ("", "it ended without a word"),
    ],
)
def test_the_reason_is_the_fatal_line_with_its_hint(output: str, reason: str) -> None:
    message = start_failure(Layout(Path("/home")), output).message
    assert message == f"the embedded Postgres does not start: {reason}"


def test_a_full_disk_is_told_apart() -> None:
    output = "FATAL:  could not write lock file: No space left on device\n"
    assert isinstance(start_failure(Layout(Path("/home")), output), DiskFull)


def test_a_lock_file_in_a_folder_with_a_space_is_recognised() -> None:
    assert still_busy(LOCKED)
    assert not still_busy(REDIRECTED)
