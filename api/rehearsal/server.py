"""The server: all wires in one application, and a way to look at it and to make it fail.

GET  /rehearsal          what was counted, as JSON
GET  /rehearsal/log      the same second by second
GET  /rehearsal/requests the latest requests as they came
POST /rehearsal/faults   [{"kind": "overloaded", "count": 3}, ...] replaces the faults
POST /rehearsal/batches  {"seconds": 60, "expires_s": 86400}: how long batches take from now on;
                         {"forget": true}: no batch was ever sent
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lmx.api.rehearsal import (
    batches_anthropic,
    batches_gemini,
    wire_anthropic,
    wire_gemini,
    wire_openai,
)
from lmx.api.rehearsal.batches import Batches
from lmx.api.rehearsal.provider import FaithfulProvider
from lmx.api.rehearsal.seen import Seen, watched


def make_app(provider: FaithfulProvider) -> ASGIApp:
    """The application that serves `provider`."""
    seen = Seen()

    async def look(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse(provider.told())

    async def log(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse(provider.log())

    async def requests(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse(seen.told())

    async def fail(request: Request) -> Response:
        try:
            provider.faults.set(await request.json())
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"faults": len(provider.faults.faults)})

    batches = Batches(provider)

    async def pace(request: Request) -> Response:
        terms = await request.json()
        batches.seconds = float(terms.get("seconds", batches.seconds))
        batches.expires_s = float(terms.get("expires_s", batches.expires_s))
        if terms.get("forget"):
            batches.batches.clear()
        return JSONResponse({"batches": len(batches.batches)})

    app = Starlette(
        routes=[
            Route("/rehearsal", look, methods=["GET"]),
            Route("/rehearsal/log", log, methods=["GET"]),
            Route("/rehearsal/requests", requests, methods=["GET"]),
            Route("/rehearsal/faults", fail, methods=["POST"]),
            Route("/rehearsal/batches", pace, methods=["POST"]),
            *batches_anthropic.routes(batches),
            *batches_gemini.routes(batches),
            *wire_anthropic.routes(provider),
            *wire_openai.routes(provider),
            *wire_gemini.routes(provider),
        ]
    )
    return watched(app, seen)
