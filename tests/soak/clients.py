"""One client: at random it asks, changes its mind, goes away, or asks for what cannot be."""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lmx.engine import (
    Cancelled,
    DeadlineExceeded,
    Engine,
    InvalidRequest,
    NoRoom,
    PromptTooLong,
    Request,
    Result,
    Sampling,
)
from tests.soak.questions import PEOPLE, Answer, Question, first_difference
from tests.soak.setup import World

#: A request without a deadline that takes longer is taken for lost.
LOST_AFTER_S = 900.0

_WORDS = ("sea", "fog", "ship", "lamp", "rope", "sail")

Report = Callable[..., None]


@dataclass
class Client:
    """Runs until ``stopping``; what goes wrong is reported, with all that is needed to see why."""

    engine: Engine
    world: World
    questions: list[Question]
    answers: dict[str, list[Answer]]
    rng: random.Random
    name: str
    report: Report
    stopping: threading.Event
    closing: threading.Event  # the engine is being closed: everything may be cancelled
    counts: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        actions: list[Callable[[], None]] = [
            *[self._ask] * 9,
            *[self._chat] * 4,
            *[self._change_mind] * 3,
            *[self._go_away] * 2,
            *[self._hurry] * 2,
            *[self._hold, self._pin, self._look, self._blunder],
        ]
        while not self.stopping.is_set():
            action = self.rng.choice(actions)
            kind = action.__name__[1:]
            try:
                action()
            except Cancelled:
                if not self.closing.is_set():
                    self._fault(kind, "cancelled by nobody")
                return
            except Exception:
                self._fault(kind, traceback.format_exc())
                return
            self._count(kind)

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1

    def _fault(self, kind: str, text: str) -> None:
        self.report("fault", client=self.name, action=kind, text=text)

    def _ask(self) -> None:
        """A question whose answer is known, in a session or not, read in one of several ways."""
        question = self.rng.choice(self.questions)
        session = self.rng.choice((None, f"{self.name} {question.name}", f"shared {question.name}"))
        options: dict[str, Any] = {"mode": "deterministic", "session": session}
        if self.rng.random() < 0.3:
            options["max_unread"] = 16
        read = self.rng.choice((_wait, _iterate, self._read_slowly))
        found = question.ask(self.engine.submit, read, **options)
        expected = self.answers[f"{self.world.name} {question.name}"]
        if found != expected:
            where = f"{question.name} on {question.model.stem} in session {session}"
            self._fault("ask", f"{where}: {first_difference(expected, found)}")
        for _ in found:
            self._count("answers compared")

    def _read_slowly(self, request: Request) -> Result:
        for _ in request:
            self.stopping.wait(self.rng.uniform(0, 0.1))
        return _wait(request)

    def _submit(self, **options: Any) -> Request:
        words = self.rng.choices(
            ["sea", "fog", "ship", "lamp", "rope", "sail"], k=self.rng.randint(1, 40)
        )
        given: dict[str, Any] = {
            "model": self.rng.choice(self.world.models),
            "prompt": " ".join(words),
            "n_ctx": self.rng.choice((256, 512)),
            "max_tokens": self.rng.randint(1, 24),
            "kv_type": self.rng.choice(("f16", "f16", "q8_0")),
            "sampling": Sampling(temperature=self.rng.choice((0.0, 1.0)), seed=1),
        }
        session = f"{self.name} {self.rng.randrange(3)}" if self.rng.random() < 0.5 else None
        return self.engine.submit(**{**given, "session": session, **options})

    def _chat(self) -> None:
        """In throughput mode: only that it ends well is known beforehand."""
        options: dict[str, Any] = {}
        if self.rng.random() < 0.3:
            options = {"json_schema": PEOPLE, "logprobs": 3}
        result = _wait(self._submit(**options))
        assert result.completion_tokens > 0

    def _change_mind(self) -> None:
        request = self._submit(max_tokens=200)
        if self.rng.random() < 0.5:
            request.poll(self.rng.uniform(0, 2))
        request.cancel()
        try:
            _wait(request)
        except Cancelled:
            self._count("cancelled")

    def _go_away(self) -> None:
        """Never reads, and lets go of the request without a word."""
        options = {"max_unread": 16} if self.rng.random() < 0.5 else {}
        request = self._submit(**options)
        self.stopping.wait(self.rng.uniform(0, 0.5))
        del request

    def _hurry(self) -> None:
        try:
            _wait(self._submit(deadline_s=self.rng.uniform(0, 4), max_tokens=60))
        except DeadlineExceeded:
            self._count("past the deadline")

    def _hold(self) -> None:
        holder = f"hold of {self.name}"
        try:
            self.engine.hold(holder, self.rng.randrange(self.world.cap // 4))
        except NoRoom:
            return
        self.stopping.wait(self.rng.uniform(0, 1))
        assert self.engine.release(holder) >= 0

    def _pin(self) -> None:
        model = self.rng.choice(self.world.models)
        self.engine.pin(model)
        self.stopping.wait(self.rng.uniform(0, 1))
        self.engine.unpin(model)

    def _look(self) -> None:
        self.engine.snapshot()
        model = self.rng.choice(self.world.models)
        assert self.engine.fits(model, 512).verdict != "never"
        assert self.engine.estimate(model, 256).total_bytes > 0

    def _blunder(self) -> None:
        """Each of these is refused, by the right error, and disturbs nobody."""
        model = self.rng.choice(self.world.models)
        refused: list[tuple[type[Exception], dict[str, Any]]] = [
            (PromptTooLong, {"prompt": "word " * 600, "n_ctx": 256}),
            (InvalidRequest, {"prompt": "word", "n_ctx": 2**20}),
            (InvalidRequest, {"prompt": "word", "max_tokens": 0}),
            (InvalidRequest, {"prompt": "word", "kv_type": "f3"}),
            (InvalidRequest, {"prompt": "word", "grammar": "root ::= ("}),
        ]
        error, options = self.rng.choice(refused)
        try:
            self.engine.submit(model=model, **options)
        except error:
            return
        raise AssertionError(f"{options} was not refused with {error.__name__}")


def _wait(request: Request) -> Result:
    return request.result(timeout=LOST_AFTER_S)


def _iterate(request: Request) -> Result:
    text = "".join(request)
    result = _wait(request)
    assert text == result.text, f"the pieces are {text!r}, the text is {result.text!r}"
    return result
