"""Which jobs may start on a device: the planner as a pure function, with nothing loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from lmx.engine import _core
from lmx.engine.files import StrPath, estimate

Verdict = Literal["now", "after_eviction", "wait", "never"]


@dataclass(frozen=True, slots=True)
class Resident:
    """Something on the device: weights, or (when ``model`` is set) a context built upon them.

    ``serves`` is the key of the contexts that a job may join while ``free_slots`` remain.
    """

    id: str
    bytes: int
    model: str = ""
    serves: str = ""
    running: bool = False
    pinned: bool = False
    idle_s: float = 0.0
    reload_s: float = 0.0
    free_slots: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A waiting job: the weights and the context it needs. ``aged`` jobs are not overtaken."""

    id: str
    model: str
    weights_bytes: int
    context_bytes: int
    context: str = ""
    aged: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """The planner's answer for one job.

    ``needs`` is what the job takes in all, ``missing`` what would still have to be reserved,
    ``free`` what was free when its turn came; ``evict`` names what must go first, in order.
    """

    verdict: Verdict
    needs: int
    cap: int
    free: int
    missing: int = 0
    evict: tuple[str, ...] = ()
    job: str = ""


def plan(
    cap_bytes: int, used_bytes: int, residents: Iterable[Resident], jobs: Iterable[Job]
) -> list[Fit]:
    """Takes the jobs in order, each on the supposition that the admitted ones before it started.

    ``used_bytes`` includes the residents. Never evicts what is running or pinned.
    """
    decisions = _core.plan(
        cap_bytes,
        used_bytes,
        [
            _core.Resident(
                r.id,
                r.bytes,
                r.model,
                r.serves,
                r.running,
                r.pinned,
                r.idle_s,
                r.reload_s,
                r.free_slots,
            )
            for r in residents
        ],
        [
            _core.Job(j.id, j.model, j.context, j.weights_bytes, j.context_bytes, j.aged)
            for j in jobs
        ],
    )
    return [to_fit(decision) for decision in decisions]


def fits_cap(
    model: StrPath,
    cap_bytes: int,
    n_ctx: int = 2048,
    n_seq: int = 1,
    kv_type: str = "f16",
    *,
    device: str = "auto",
) -> Fit:
    """Whether such a context could ever run under this cap: "now" on an empty device, or "never".

    Nothing is loaded, and no engine is needed. Raises ModelFileError or InvalidRequest.
    """
    needs = estimate(model, n_ctx, n_seq, kv_type, device=device)
    job = Job("", "model", needs.weights_bytes, needs.kv_bytes + needs.compute_bytes)
    return plan(cap_bytes, 0, [], [job])[0]


def to_fit(decision: _core.Decision) -> Fit:
    return Fit(
        cast(Verdict, decision.verdict),
        decision.needs,
        decision.cap,
        decision.free,
        decision.missing,
        tuple(decision.evict),
        decision.job,
    )
