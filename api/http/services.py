"""What the routes work with: the database, the client, and who waits for what."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from lmx.api.http.following import Following
from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database


@dataclass(frozen=True)
class Services:
    """One set per server."""

    database: Database
    client: Client
    following: Following


async def _services(request: Request) -> Services:
    # A coroutine, or FastAPI would send each request to another thread just for this.
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Shared = Annotated[Services, Depends(_services)]
