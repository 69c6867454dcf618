"""The memory of an engine: what would fit, what stays, what is held for others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, cast

from lmx.engine import _core
from lmx.engine._log import forward_logs
from lmx.engine.embedding import pooling_of
from lmx.engine.errors import EngineError, InvalidRequest, NeverFits, NoRoom
from lmx.engine.estimates import N_UBATCH, Estimate, context_spec, to_estimate
from lmx.engine.files import StrPath, inspect_model, resolve
from lmx.engine.planning import Fit, Projection, Wanted, to_fit
from lmx.engine.prompts import encodable
from lmx.engine.views import LedgerEntry, Snapshot


class EngineMemory:
    """What an ``Engine`` says and does about memory; it runs nothing."""

    def __init__(self, core: _core.Engine) -> None:
        self._core = core

    def fits(self, model: StrPath, n_ctx: int = 2048, n_seq: int = 1, kv_type: str = "f16") -> Fit:
        """Whether such a context could start now, after evictions, later, or never."""
        spec = context_spec(n_ctx, n_seq, kv_type, N_UBATCH, "auto")
        job = self._core.job("", inspect_model(model).path, spec, False)
        return to_fit(self._core.project([job])[2][0])

    def plan(
        self, jobs: Iterable[Wanted], *, aged: Collection[str] = ()
    ) -> list[Fit | EngineError]:
        """Which of these jobs could start now, behind the queue.

        Each answer supposes that the jobs of earlier turns which fit have been started. A job
        that could not even be asked about has its error for an answer. Jobs whose ids are ``aged``
        have waited long and are not overtaken.
        """
        return list(self.project(jobs, aged=aged).asked)

    def project(self, jobs: Iterable[Wanted], *, aged: Collection[str] = ()) -> Projection:
        """As ``plan``, with what is booked and what waits in the engine at the same moment."""
        answers: list[Fit | EngineError | None] = []
        known: list[_core.Job] = []
        for name, model, n_ctx, kv_type in jobs:
            try:
                info = inspect_model(model)
                path, pooling = info.path, "" if info.generates else pooling_of(info, None)
                spec = context_spec(n_ctx, 1, kv_type, N_UBATCH, "auto", pooling)
                known.append(self._core.job(name, path, spec, name in aged))
                answers.append(None)
            except EngineError as error:
                answers.append(error)
        ledger, queued, decisions = self._core.project(known)
        fits = iter([to_fit(decision) for decision in decisions])
        return Projection(
            cast("tuple[LedgerEntry, ...]", tuple(ledger)),
            tuple(to_fit(decision) for decision in queued),
            tuple(next(fits) if answer is None else answer for answer in answers),
        )

    def estimate(
        self, model: StrPath, n_ctx: int = 2048, n_seq: int = 1, kv_type: str = "f16"
    ) -> Estimate:
        """The exact bytes of such a context on this engine's device, with nothing loaded."""
        spec = context_spec(n_ctx, n_seq, kv_type, N_UBATCH, "auto")
        return to_estimate(self._core.estimate(inspect_model(model).path, spec))

    def pin(self, model: StrPath) -> None:
        """Keeps the model's weights, once loaded, from being evicted."""
        self._core.pin(resolve(model), True)

    def unpin(self, model: StrPath) -> None:
        self._core.pin(resolve(model), False)

    def hold(
        self, holder: str, size_bytes: int, how: Literal["now", "wait", "fact"] = "now"
    ) -> None:
        """Books bytes for something outside of the engine.

        "now" raises NoRoom when they are not free. "wait" returns at once and queues the hold as a
        request is queued: idle models and contexts are evicted for it, and the snapshot's
        ``holds`` tell when it is granted; NeverFits when it is larger than the cap. "fact" books
        what is taken already, even past the cap.
        """
        if not 0 <= size_bytes < 2**64:
            raise InvalidRequest(f"size_bytes is {size_bytes} but must be 0 or more")
        denial = self._core.hold(holder, size_bytes, how)
        if denial is not None:
            needs, cap, free = denial
            if how == "wait":
                raise NeverFits(f"{needs} bytes for {holder} can never fit", needs, cap, free)
            raise NoRoom(
                f"{needs} bytes cannot be held for {holder}: {free} of {cap} are free; "
                "try again when a request has ended",
                needs,
                cap,
                free,
            )

    def release(self, holder: str) -> int:
        """Gives the holder's bytes back; returns how many they were."""
        return self._core.release(holder)

    def see(self, own: int | None, others: Sequence[tuple[str, int, str]] | None) -> None:
        """Tells what a look at the device's processes found; what it could not tell is None.

        ``own`` is the bytes of this process; ``others`` are (name, bytes, holder), where holder is
        the hold that the process runs under, or "". Where a driver tells how much is in use, that
        number rules and these only name parts of it.
        """
        self._core.see(own, None if others is None else list(others))

    def forget(self, session: str) -> None:
        """Drops what is kept of a session that is not running, files included."""
        self._core.forget(encodable(session))

    def snapshot(self) -> Snapshot:
        """What is on the device, what runs, what waits, and what happened lately."""
        forward_logs()
        return cast(Snapshot, self._core.snapshot())
