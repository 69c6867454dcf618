"""Runs the application under uvicorn until SIGTERM."""

import gc
import logging
import socket
from contextlib import closing

import uvicorn

from lmx.api.address import listen, url_of
from lmx.api.http.app import create_app
from lmx.api.http.following import Following
from lmx.api.http.services import Services
from lmx.workflows.client import Client
from lmx.workflows.config import Settings
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import Database, resolve_database

_log = logging.getLogger("lmx.api")
_KEEP_ALIVE_S = 30


class _Server(uvicorn.Server):
    """uvicorn, which waits for open answers at its end: those that follow something end first."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls and streams, shut down as uvicorn does, and disconnect."""
        self._services.following.end()
        await super().shutdown(sockets)
        self._services.client.close()


def serve(settings: Settings) -> None:
    """Serve until stopped. Raises PortTaken, ConfigError, DatabaseUnavailable, SchemaMismatch."""
    with closing(listen(settings.api_host, settings.api_port)) as listener:
        database = resolve_database(settings)
        migrate.prepare(database)
        _log.info("listening on %s", url_of(settings.api_host, settings.api_port))
        run(database, listener, grace_s=settings.shutdown_grace_s)


def run(database: Database, listener: socket.socket, *, grace_s: float) -> None:
    """Serve `database` on a listening socket until stopped."""
    host, port = listener.getsockname()[:2]
    server = build(database, host, port, grace_s=grace_s)
    # What is loaded by now stays: the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    server.run(sockets=[listener])


def build(database: Database, host: str, port: int, *, grace_s: float) -> uvicorn.Server:
    """Return a server that has not been started."""
    services = Services(database, Client(database), Following(database))
    app = create_app(services, host=host)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(grace_s)),
    )
    return _Server(config, services)
