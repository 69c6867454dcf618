"""`lmx version`: what is installed."""

import typer

from lmx.api.cli.output import write


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("version")(version)


def version() -> None:
    """Print the versions of lmx and of its engine."""
    write(f"lmx {installed('lmx') or '0 (not installed)'}")
    write(f"lmx-engine {installed('lmx-engine') or 'not installed'}")


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
