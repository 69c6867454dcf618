"""`lmx db`: the database's schema and the embedded server."""

from typing import Annotated

import typer

from lmx.api.cli.commands import prune
from lmx.api.cli.examples import examples
from lmx.api.cli.options import AsJson
from lmx.api.cli.output import clock, note, write, write_json

db = typer.Typer(
    no_args_is_help=True,
    help="The database: its schema, its address, the embedded server.",
    epilog=examples(
        "lmx db status",
        "psql $(lmx db url)",
        "LMX_DATABASE_URL=... lmx db upgrade",
        "lmx db prune --older-than 90d --dry-run",
    ),
)


def add_to(app: typer.Typer) -> None:
    """Register the group."""
    prune.add_to(db)
    app.add_typer(db, name="db")


@db.command()
def status(
    as_json: AsJson = False,
) -> None:
    """Tell where the database is and whether its schema fits this program."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.database import migrate
    from lmx.workflows.database.connect import resolve_database
    from lmx.workflows.retention.kept import all_pruned

    database = resolve_database(load_settings())
    found = migrate.status(database)
    with database.connect() as connection:
        server = connection.info.server_version
        pruned = all_pruned(connection) if found.state == "current" else {}
    version = f"{server // 10_000}.{server % 10_000}"
    if as_json:
        write_json(
            {
                "place": database.place,
                "embedded": database.embedded,
                "postgres": version,
                "revision": found.current,
                "needed": found.head,
                "state": found.state,
                "pruned_before": pruned,
            }
        )
    else:
        kind = "the embedded server" if database.embedded else "an external server"
        write(f"database  {database.place} ({kind}, Postgres {version})")
        write(f"schema    {found.current or 'none'}, this lmx needs {found.head}: {found.state}")
        for what, before in pruned.items():
            write(f"pruned    {what} of what ended before {clock(before)}")
    if found.state in ("behind", "empty"):
        note("bring the schema up to date: lmx db upgrade")
    if found.state != "current":
        raise typer.Exit(5)


@db.command()
def upgrade(
    revision: Annotated[str, typer.Argument(help="The revision to reach.")] = "head",
) -> None:
    """Bring the schema to the revision that this program needs."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.database import migrate
    from lmx.workflows.database.connect import resolve_database

    database = resolve_database(load_settings())
    before = migrate.status(database)
    after = migrate.upgrade(database, revision)
    if before.current == after.current:
        write(f"the schema is at revision {after.current} already")
    else:
        write(f"upgraded the schema from {before.current or 'nothing'} to {after.current}")


@db.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help='The revision to go back to, or "base".')],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; what later revisions stored is lost.")
    ] = False,
) -> None:
    """Undo the revisions after REVISION. What they stored is lost."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.database import migrate
    from lmx.workflows.database.connect import resolve_database

    database = resolve_database(load_settings())
    if not yes:
        question = f"Undo the schema at {database.place} down to {revision} and lose its data?"
        typer.confirm(question, abort=True, err=True)
    after = migrate.downgrade(database, revision)
    write(f"the schema is at {after.current or 'nothing'} now")


@db.command()
def url() -> None:
    """Print the database's address for psql and other clients. It may hold a password."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.database import embedded

    settings = load_settings()
    write(settings.database_url or embedded.ensure_running(settings.home))


@db.command()
def stop() -> None:
    """Stop the embedded server. The next command that needs it starts it again."""
    from lmx.workflows.config import load_settings
    from lmx.workflows.database import embedded

    settings = load_settings()
    stopped = embedded.stop(settings.home)
    write("stopped the embedded Postgres" if stopped else "the embedded Postgres was not running")
