"""What all wires share: an answer's bytes as they come, and the faults in the middle of it."""

from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lmx.api.rehearsal.provider import Answering, FaithfulProvider

#: A hung connection is silent for this long, in real seconds, unless the client goes first.
HANG_S: Final = 3600.0
_SLOWNESS: Final = 20.0


class BrokenOff(Exception):  # noqa: N818 - it says what happened
    """The connection breaks here, as if the network had failed."""


async def pieces(provider: FaithfulProvider, answering: Answering) -> AsyncIterator[str]:
    """The answer's text in pieces; the fault of the request, if it has one, strikes on its way.

    Raises BrokenOff. A `lost` answer is made and billed, but none of it is sent.
    """
    if answering.fault == "hang":
        await _hang(provider)
    async for piece in provider.produce(answering):
        if answering.fault == "slow":
            await provider.clock.sleep(_SLOWNESS)
        if answering.fault == "lost":
            continue
        yield piece
        if answering.produced * 2 >= answering.output_tokens:
            if answering.fault == "midstream":
                return
            if answering.fault == "stalled":
                await _hang(provider)
    if answering.fault == "lost":
        raise BrokenOff


def stream(body: AsyncIterator[bytes], headers: dict[str, str]) -> StreamingResponse:
    """A response of server-sent events; BrokenOff closes the connection without an end."""
    return StreamingResponse(body, headers=headers, media_type="text/event-stream")


async def whole(provider: FaithfulProvider, answering: Answering) -> str:
    """The whole text, for a request that is not streamed."""
    return "".join([piece async for piece in pieces(provider, answering)])


async def document(provider: FaithfulProvider, body: Any, fault: str | None) -> Response:
    """A JSON document as an answer; the fault of the request, if it has one, strikes it."""
    if fault == "malformed":
        return Response(b"{", 200, media_type="application/json")
    if fault == "hang":
        await _hang(provider)
    if fault == "lost":
        return StreamingResponse(_broken(), media_type="application/json")
    return JSONResponse(body)


async def _hang(provider: FaithfulProvider) -> None:
    """Say nothing more."""
    await provider.clock.sleep(HANG_S * provider.clock.speed)


async def _broken() -> AsyncIterator[bytes]:
    """An answer that breaks off before its first byte of use."""
    yield b"{"
    raise BrokenOff


def bearer(request: Request) -> str:
    """The key of an OpenAI-style header."""
    return request.headers.get("authorization", "").removeprefix("Bearer ")
