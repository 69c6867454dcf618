"""The devices, what is booked on them and what they do; and all numbers for Prometheus."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from lmx.api.http.metrics import CONTENT_TYPE, exposition
from lmx.api.http.services import Shared
from lmx.workflows import views
from lmx.workflows.allowances.rules import list_allowances
from lmx.workflows.devices import list_devices

router = APIRouter(tags=["system"])


class Booking(BaseModel):
    """Bytes that somebody holds. `kind`: weights, kv, compute, stream_slots, claimed, foreign."""

    holder: str
    kind: str
    bytes: int
    task_id: int | None


class Hold(BaseModel):
    """Bytes for a command outside of lmx (`lmx vram hold`)."""

    id: int
    command: str
    bytes: int
    granted: bool
    host: str
    pid: int
    age_s: float


class Device(BaseModel):
    """A device; sizes are bytes. The numbers are those of `lmx vram --json`."""

    id: int
    host: str
    name: str
    cap: int
    used: int
    free: int
    by_kind: dict[str, int]
    alive: bool = Field(description="A worker serves it now.")
    seen_at: datetime
    bookings: list[Booking]
    holds: list[Hold]
    snapshot: dict[str, Any] | None = Field(
        description="What its worker said at `seen_at`: models, contexts, requests, rates, events,"
        " `memory` in use by another count, and `gpu`, what NVML tells."
    )


class Devices(BaseModel):
    """All devices, those that are served first."""

    devices: list[Device]


@router.get("/v1/devices", summary="List devices")
def devices(services: Shared) -> Devices:
    """Return the devices that GPU workers serve or have served, and who holds their memory."""
    with services.database.connect(application_name="lmx api") as connection:
        found = list_devices(connection)
    return Devices(devices=[Device(**device.as_json()) for device in found])


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
def metrics(services: Shared) -> Response:
    """Return what devices, engines, queues and workers do, and allowances, as text."""
    with services.database.connect(application_name="lmx api") as connection:
        found = list_devices(connection)
        allowances = list_allowances(connection)
    queues = views.list_queues(services.database)
    workers = views.list_workers(services.database)
    return Response(exposition(found, queues, workers, allowances), media_type=CONTENT_TYPE)
