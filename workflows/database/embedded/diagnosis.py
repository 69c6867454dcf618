"""Turns what Postgres printed when it failed into one line for the user."""

import re

from lmx.workflows.database.embedded.layout import Layout
from lmx.workflows.errors import DatabaseUnavailable, DiskFull, LmxError

_COMPLAINT = re.compile(r"(?:FATAL|PANIC|ERROR|could not|error|not found):?\s*(.*)")
_CONFIG_MISTAKE = re.compile(r".*in file \".*\" line \d+.*|.*(?:invalid value|unrecognized).*")
_NO_SPACE = re.compile("no space left on device|disk quota exceeded|file too large", re.IGNORECASE)
_BUSY = re.compile(r"pre-existing shared memory block|lock file \S+ already exists", re.IGNORECASE)


def start_failure(layout: Layout, output: str) -> LmxError:
    """Return the error for a failed initdb or server start that printed `output`."""
    if _NO_SPACE.search(output):
        return DiskFull(
            f"the disk that holds {layout.root} is full, so the database cannot start",
            hint="free some space there, or set LMX_HOME to a folder on another disk",
        )
    complaints = [
        match[0].strip() for match in map(_COMPLAINT.search, output.splitlines()) if match
    ]
    mistakes = [match[0] for match in map(_CONFIG_MISTAKE.search, output.splitlines()) if match]
    if mistakes:
        complaints.append(mistakes[0].partition("LOG:")[2].strip() or mistakes[0])
    last = complaints[-1] if complaints else output.strip().rpartition("\n")[2] or "no message"
    return DatabaseUnavailable(
        f"the embedded Postgres does not start: {last}", hint=f"its log is in {layout.logs}"
    )


def complained(output: str) -> bool:
    """Return whether the server gave a reason for its end; one that was killed gives none."""
    return any(_COMPLAINT.search(line) for line in output.splitlines())


def still_busy(output: str) -> bool:
    """Return whether the start failed only because parts of the previous server still live."""
    return _BUSY.search(output) is not None


def log_since_start(layout: Layout, collected: dict[str, int]) -> str:
    """Return what the server has logged since `collected` was taken by `log_sizes`."""
    texts = [layout.start_log.read_text(errors="replace")] if layout.start_log.exists() else []
    for path in sorted(layout.logs.glob("postgres-*.log")):
        with path.open(errors="replace") as log:
            log.seek(min(collected.get(path.name, 0), path.stat().st_size))
            texts.append(log.read())
    return "\n".join(texts)


def log_sizes(layout: Layout) -> dict[str, int]:
    """Return the present size of each of the server's log files, by name."""
    return {path.name: path.stat().st_size for path in layout.logs.glob("postgres-*.log")}
