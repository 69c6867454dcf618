"""Turns what Postgres printed when it failed into one line for the user."""

import re

from lmx.workflows.database.embedded.layout import Layout
from lmx.workflows.errors import DatabaseUnavailable, DiskFull, LmxError

_FATAL = re.compile(r"(?:FATAL|PANIC):\s*(.*)")
_COMPLAINT = re.compile(r"(?:FATAL|PANIC|ERROR|could not|error|not found):?\s*(.*)")
_EXPLANATION = re.compile(r"(?:DETAIL|HINT|hint):\s*(.*)")
_NO_FAULT = re.compile(r"LOG:|Future log output will appear")
_CONFIG_MISTAKE = re.compile(r".*in file \".*\" line \d+.*|.*(?:invalid value|unrecognized).*")
_NO_SPACE = re.compile("no space left on device|disk quota exceeded|file too large", re.IGNORECASE)
_BUSY = re.compile(
    r"pre-existing shared memory block|lock file \".*\" already exists", re.IGNORECASE
)


def start_failure(layout: Layout, output: str) -> LmxError:
    """Return the error for a failed initdb or server start that printed `output`."""
    if _NO_SPACE.search(output):
        return DiskFull(
            f"the disk that holds {layout.root} is full, so the database cannot start",
            hint="free some space there, or set LMX_HOME to a folder on another disk",
        )
    return DatabaseUnavailable(
        f"the embedded Postgres does not start: {_reason(output.splitlines())}",
        hint=f"its log is in {layout.logs}",
    )


def _reason(lines: list[str]) -> str:
    """Return what went wrong: a mistake in a file, else the last fatal line, else any complaint.

    What Postgres adds to that line as its detail and hint follows it in brackets.
    """
    mistakes = [line for line in lines if _CONFIG_MISTAKE.search(line)]
    if mistakes:
        return mistakes[0].partition("LOG:")[2].strip() or mistakes[0]
    for pattern in (_FATAL, _COMPLAINT):
        found = [number for number, line in enumerate(lines) if pattern.search(line)]
        if found:
            return _with_explanations(lines, found[-1])
    said = [line.strip() for line in lines if line.strip() and not _NO_FAULT.search(line)]
    return said[-1] if said else "it ended without a word"


def _with_explanations(lines: list[str], number: int) -> str:
    complaint = _COMPLAINT.search(lines[number])
    explanations = []
    for line in lines[number + 1 :]:
        explanation = _EXPLANATION.search(line)
        if explanation is None:
            break
        explanations.append(f" ({explanation[1]})")
    return (complaint[0].strip() if complaint else lines[number]) + "".join(explanations)


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
