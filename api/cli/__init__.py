"""The `lmx` command line. Each module under `commands` holds one group of commands.

Modules of this package import only the standard library and Typer at their top: everything that
takes long to import (the database driver, rich's tables) is imported by the command that needs it,
so that `lmx --help` answers at once.
"""

from lmx.api.cli.app import main

__all__ = ["main"]
