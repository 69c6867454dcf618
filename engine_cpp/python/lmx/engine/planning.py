"""Which jobs may start on a device: the planner as a pure function, with nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.errors import EngineError, InvalidRequest
from lmx.engine.estimates import estimate
from lmx.engine.files import StrPath, inspect_model
from lmx.engine.views import LedgerEntry

MAX_SLOTS = 64

Streaming = Literal["auto", "off", "always"]
Verdict = Literal["now", "after_eviction", "streamed", "wait", "never"]

_ALL = 2**32 - 1


class Wanted(NamedTuple):
    """A context that an engine is asked about under a name: its model file, tokens, KV cache."""

    id: str
    model: StrPath
    n_ctx: int
    kv_type: str = "f16"


@dataclass(frozen=True, slots=True)
class Resident:
    """Something on the device: weights, or a context built ``upon`` weights (their ids).

    ``serves`` is the key of the contexts that a job may join while ``free_slots`` remain.
    ``host_bytes`` are those of its layers that are streamed from host memory.
    """

    id: str
    bytes: int
    upon: Sequence[str] = ()
    serves: str = ""
    host_bytes: int = 0
    running: bool = False
    pinned: bool = False
    idle_s: float = 0.0
    reload_s: float = 0.0
    free_slots: int = 0


@dataclass(frozen=True, slots=True)
class StreamNeeds:
    """How a model can run with some of its layers streamed through ``slots`` on the device.

    ``layer_bytes`` are in the order in which layers become resident; ``fixed_bytes`` always are,
    a slot has ``slot_bytes``, and streaming takes ``host_bytes`` of host memory. With fewer than
    ``min_layers`` resident layers it rather waits, with ``forced`` it streams though it would fit.
    """

    fixed_bytes: int
    layer_bytes: Sequence[int]
    slot_bytes: int
    host_bytes: int
    slots: int = 2
    min_layers: int = 0
    max_layers: int = _ALL
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A waiting job: the weights (id and bytes; the model first) and the context that it needs.

    ``aged`` jobs are not overtaken by jobs after them. ``stream`` tells how the model could be
    streamed if it does not fit.
    """

    id: str
    weights: Mapping[str, int]
    context_bytes: int
    context: str = ""
    aged: bool = False
    stream: StreamNeeds | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The planner's answer for one job.

    ``needs`` is what the job takes in all, ``missing`` what would still have to be reserved,
    ``free`` what was free when its turn came; ``evict`` names what must go first, in order.
    ``turn`` is its place in the order in which jobs start. A streamed job has ``resident_layers``
    and ``slots``.
    """

    verdict: Verdict
    needs: int
    cap: int
    free: int
    missing: int = 0
    evict: tuple[str, ...] = ()
    job: str = ""
    turn: int = 0
    resident_layers: int = 0
    slots: int = 0

    @property
    def starts(self) -> bool:
        """Whether the job may start, perhaps after evictions or streamed."""
        return self.verdict not in ("wait", "never")


@dataclass(frozen=True, slots=True)
class Projection:
    """What is booked at one moment, and what the planner says of all who wait then."""

    ledger: tuple[LedgerEntry, ...]
    queued: tuple[Fit, ...]
    asked: tuple[Fit | EngineError, ...]

    def booked(self) -> list[LedgerEntry]:
        """The ledger as it will be when all that may start have started.

        What they still miss is of kind "claimed", under the job's id; what would be evicted for
        them is gone. At most the cap, unless more than that is booked already.
        """
        fits = [*self.queued, *(fit for fit in self.asked if isinstance(fit, Fit))]
        starting = [fit for fit in fits if fit.starts]
        gone = {holder for fit in starting for holder in fit.evict}
        kept = [entry for entry in self.ledger if entry["holder"] not in gone]
        claimed = [
            LedgerEntry(holder=fit.job, kind="claimed", bytes=fit.missing) for fit in starting
        ]
        return [*kept, *claimed]


def plan(
    cap_bytes: int,
    used_bytes: int,
    residents: Iterable[Resident],
    jobs: Iterable[Job],
    *,
    host_cap_bytes: int = 0,
    host_used_bytes: int = 0,
) -> list[Fit]:
    """One answer for each job; the order of the jobs is that of their right to start.

    Jobs of one model take their turns together, resident models first, unless an aged job waits
    for another. Each answer supposes that the jobs of earlier turns which may start have started.
    ``used_bytes`` includes the residents; ``host_used_bytes`` what streamed models cannot have.
    Never evicts what is running or pinned.
    """
    decisions = _core.plan(
        cap_bytes,
        used_bytes,
        host_cap_bytes,
        host_used_bytes,
        [_to_core_resident(resident) for resident in residents],
        [_to_core_job(job) for job in jobs],
    )
    return [to_fit(decision) for decision in decisions]


def _to_core_resident(r: Resident) -> _core.Resident:
    return _core.Resident(
        r.id,
        r.bytes,
        list(r.upon),
        r.serves,
        r.host_bytes,
        r.running,
        r.pinned,
        r.idle_s,
        r.reload_s,
        r.free_slots,
    )


def _to_core_job(job: Job) -> _core.Job:
    weights = list(job.weights.items())
    stream = _to_core_stream(job.stream) if job.stream else None
    return _core.Job(job.id, weights, job.context, job.context_bytes, job.aged, stream)


def _to_core_stream(needs: StreamNeeds) -> _core.StreamNeeds:
    return _core.StreamNeeds(
        needs.fixed_bytes,
        list(needs.layer_bytes),
        needs.slot_bytes,
        needs.host_bytes,
        needs.slots,
        needs.min_layers,
        needs.max_layers,
        needs.forced,
    )


def fits_cap(
    model: StrPath,
    cap_bytes: int,
    n_ctx: int = 2048,
    n_seq: int = 1,
    kv_type: str = "f16",
    *,
    device: str = "auto",
    streaming: Streaming = "auto",
    host_cap_bytes: int = 2**62,
) -> Fit:
    """Whether such a context could ever run under this cap, on an empty device.

    "now", or "streamed" where ``streaming`` allows that and ``host_cap_bytes`` of host memory are
    enough, or "never". Nothing is loaded, and no engine is needed. Raises ModelFileError or
    InvalidRequest.
    """
    needs = estimate(model, n_ctx, n_seq, kv_type, device=device)
    stream = None
    if streaming == "always" or (streaming == "auto" and needs.total_bytes > cap_bytes):
        stream = stream_needs(model, device=device, streaming=streaming)
    context_bytes = needs.kv_bytes + needs.compute_bytes
    job = Job("", {"model": needs.weights_bytes}, context_bytes, stream=stream)
    return plan(cap_bytes, 0, [], [job], host_cap_bytes=host_cap_bytes)[0]


def stream_needs(
    model: StrPath,
    *,
    device: str = "auto",
    streaming: Streaming = "auto",
    resident_layers: int | None = None,
    slots: int = 2,
) -> StreamNeeds | None:
    """What the model takes when its layers are streamed; None when they cannot be.

    The bytes of its layers are sorted, the largest first: whichever of them stay on the device
    take no more. Raises ModelFileError or InvalidRequest.
    """
    policy = stream_policy(streaming, resident_layers, slots)
    needs = _core.stream_needs(inspect_model(model).path, policy, device)
    forward_logs()
    if needs is None:
        return None
    return StreamNeeds(
        needs.fixed_bytes,
        tuple(needs.layer_bytes),
        needs.slot_bytes,
        needs.host_bytes,
        needs.slots,
        needs.min_layers,
        needs.max_layers,
        needs.forced,
    )


def least_streamed(
    model: StrPath, n_ctx: int = 2048, n_seq: int = 1, kv_type: str = "f16", *, device: str = "auto"
) -> int | None:
    """The least bytes of the device that such a context can do with, as many layers as possible
    streamed; None where they cannot be. Raises ModelFileError or InvalidRequest.
    """
    stream = stream_needs(model, device=device)
    if stream is None:
        return None
    needs = estimate(model, n_ctx, n_seq, kv_type, device=device)
    slots = min(stream.slots, len(stream.layer_bytes))
    weights = stream.fixed_bytes + slots * stream.slot_bytes
    return weights + needs.kv_bytes + needs.compute_bytes


def stream_policy(mode: str, resident_layers: int | None, slots: int) -> _core.StreamPolicy:
    """The compiled part's form. Raises InvalidRequest."""
    if resident_layers is not None and not 0 <= resident_layers < 2**32:
        raise InvalidRequest(f"resident_layers is {resident_layers} but must be 0 or more")
    if not 0 < slots <= MAX_SLOTS:
        raise InvalidRequest(f"stream_slots is {slots} but must be from 1 to {MAX_SLOTS}")
    return _core.StreamPolicy(mode, resident_layers, slots)


def to_fit(decision: _core.Decision) -> Fit:
    return Fit(
        cast(Verdict, decision.verdict),
        decision.needs,
        decision.cap,
        decision.free,
        decision.missing,
        tuple(decision.evict),
        decision.job,
        decision.turn,
        decision.resident_layers,
        decision.slots,
    )
