"""Where the lines of the supervisor and its children go: the terminal, and files that rotate."""

import contextlib
import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from rich.console import Console
from rich.text import Text

SUPERVISOR = "lmx"
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green")
_FILE_BYTES = 5 * 1024 * 1024
_FILES_KEPT = 4
_FORMAT = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")


class _LogFile(RotatingFileHandler):
    """A log file whose trouble (a full disk) never stops what it reports on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass


class Terminal(Console):
    """Standard output, as far as it goes: `lmx up | head` goes on when its reader has left."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, where rich would end the process."""
        self.quiet = True


class Output:
    """Writes each line to `<folder>/<name>.log` and, if there is one, to the terminal.

    The files hold `_FILE_BYTES` bytes each; the last `_FILES_KEPT` of each name are kept.
    """

    def __init__(self, folder: Path, names: list[str], console: Console | None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._console = console
        self._width = max(len(name) for name in (SUPERVISOR, *names))
        self._colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
        self._files = {
            name: _LogFile(
                folder / f"{'supervisor' if name == SUPERVISOR else name}.log",
                maxBytes=_FILE_BYTES,
                backupCount=_FILES_KEPT,
                encoding="utf-8",
                delay=True,
            )
            for name in (SUPERVISOR, *names)
        }
        for file in self._files.values():
            file.setFormatter(_FORMAT)

    def line(self, name: str, text: str) -> None:
        """Write one line of the process `name`."""
        record = logging.LogRecord(name, logging.INFO, "", 0, text, None, None)
        self._files[name].handle(record)
        if self._console is not None:
            prefix = Text(f"{name:<{self._width}} | ", self._colours.get(name, "bold white"))
            # A terminal that was closed must not take the processes down with it.
            with contextlib.suppress(OSError):
                self._console.print(prefix + Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


@contextlib.contextmanager
def opened(folder: Path, names: list[str], console: Console | None) -> Iterator[Output]:
    """Open the output for the block and close it afterwards."""
    output = Output(folder, names, console)
    try:
        yield output
    finally:
        output.close()
