"""What the user reads when a command ends badly: one line, never a traceback."""

import errno
from typing import Final

import typer

from lmx.workflows.errors import LmxError

EXIT_USAGE: Final = 2
EXIT_ENVIRONMENT: Final = 5
EXIT_DEFECT: Final = 70
EXIT_INTERRUPTED: Final = 130


def explain(error: Exception) -> tuple[str, int]:
    """Return the line for standard error and the exit code for what ended a command."""
    if isinstance(error, LmxError):
        return f"lmx: {error}", error.exit_code
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, typer.Abort):
        return "lmx: aborted", 1
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "lmx: the result cannot be written: no space left on the device", EXIT_ENVIRONMENT
    text = " ".join(str(error).split()) or "no further explanation"
    return (
        f"lmx: unexpected {type(error).__name__}: {text}; this is a defect of lmx: run again with"
        " LMX_DEBUG=1 and report what it prints",
        EXIT_DEFECT,
    )


def _usage(error: typer.TyperException) -> tuple[str, int]:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message(), EXIT_USAGE
    text = " ".join(error.format_message().split()).rstrip(".")
    command = context.command_path if context is not None else "lmx"
    return f"lmx: {text}; see {command} --help", error.exit_code
