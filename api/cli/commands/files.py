"""`lmx files`: the images and files that calls refer to, as lmx keeps them."""

from typing import Annotated

import typer

from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import note, print_table, write_json

files = typer.Typer(no_args_is_help=True, help="Images and files of messages, kept by their hash.")


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    app.add_typer(files, name="files", rich_help_panel="Control")


@files.command("list", epilog=examples("lmx files list", "lmx files list --json"))
def list_(as_json: AsJson = False) -> None:
    """List the files that are kept, the largest first."""
    from lmx.api.cli.session import session
    from lmx.workflows.attachments.store import list_files
    from lmx.workflows.units import format_bytes

    with session() as opened:
        found = list_files(opened.connection)
    if as_json:
        write_json(found)
        return
    rows = [
        [one.sha256[:12], one.media_type, format_bytes(one.size), str(one.tasks)] for one in found
    ]
    print_table(["sha256", "type", "size", "tasks"], rows)
    if not found:
        note("no files are kept")


@files.command(epilog=examples("lmx files free", "lmx files free --older-than-days 7"))
def free(
    days: Annotated[
        float,
        typer.Option(
            "--older-than-days", min=0, max=36_500, help="Days since the end of their runs."
        ),
    ] = 30.0,
) -> None:
    """Free the files of runs that ended long ago, unless another task refers to them.

    A task whose files were freed can no more be retried.
    """
    from lmx.api.cli.session import session
    from lmx.workflows.attachments.store import free_files
    from lmx.workflows.units import format_bytes

    with session() as opened:
        count, size = free_files(opened.connection, days * 86_400)
    note(f"freed {count} files, {format_bytes(size)}")
