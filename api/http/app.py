"""The application: routes, guards and problems, on one set of services."""

from fastapi import FastAPI

from lmx.api.http import problems
from lmx.api.http.guards import MAX_BODY_BYTES, BodyLimit, LocalOnly
from lmx.api.http.routes import batches, devices, money, runs, system, tasks
from lmx.api.http.services import Services

_DESCRIPTION = """
Submit tasks and runs, follow them, control them.

* A submission is answered after its commit: what was answered is not lost.
* Send an `Idempotency-Key` with a POST and repeat it as often as you like.
* `?wait=30` answers when the work has ended, or after 30 seconds.
* `GET /v1/runs/{id}/events` with `Accept: text/event-stream` follows a run.
* Errors are `application/problem+json`, with a stable `code`.
"""


def create_app(services: Services, *, host: str, max_body_bytes: int = MAX_BODY_BYTES) -> FastAPI:
    """Return the application for a server that listens on the loopback address `host`."""
    app = FastAPI(title="lmx", version="0.1.0", description=_DESCRIPTION, redoc_url=None)
    app.state.services = services
    problems.install(app, services.database)
    for resource in (tasks, runs, batches, system, devices, money):
        app.include_router(resource.router)
    # The guard that is added last sees a request first.
    app.add_middleware(BodyLimit, limit=max_body_bytes)
    app.add_middleware(LocalOnly, hosts=frozenset({host}))
    return app
