"""What is asked in deterministic mode, and what counts as the same answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmx.engine import Request, Result, Sampling, tokenize

PEOPLE = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
YES_OR_NO = 'root ::= ("yes" | "no") " " [a-z]{1,8}'
_WORDS = [
    "harbour",
    "letter",
    "winter",
    "bridge",
    "engine",
    "lantern",
    "river",
    "morning",
    "copper",
    "window",
]

Answer = list[Any]  # text, finish reason, tokens, [token, log-probability] of each


@dataclass(frozen=True)
class Question:
    """A conversation: each turn's prompt is everything said before it, and the next text."""

    name: str
    model: Path
    n_ctx: int
    turns: tuple[str, ...]
    max_tokens: int
    sampling: Sampling
    extras: dict[str, Any] = field(default_factory=dict)

    def ask(
        self,
        submit: Callable[..., Request],
        read: Callable[[Request], Result] = lambda request: request.result(),
        **options: Any,
    ) -> list[Answer]:
        """One answer per turn, each read by ``read``."""
        said, answers = "", []
        for turn in self.turns:
            said += turn
            request = submit(
                model=self.model,
                prompt=said,
                n_ctx=self.n_ctx,
                max_tokens=self.max_tokens,
                sampling=self.sampling,
                **self.extras,
                **options,
            )
            result = read(request)
            answers.append(answer_of(result))
            said += result.text
        return answers


def answer_of(result: Result) -> Answer:
    """All of a result that must be the same: with logprobs to the last bit."""
    bits = [[entry.token, entry.logprob.hex()] for entry in result.logprobs or ()]
    return [result.text, result.finish_reason, result.completion_tokens, bits]


def first_difference(expected: list[Answer], found: list[Answer]) -> str:
    """In which turn, and at which of its tokens, two conversations part."""
    for turn, (one, other) in enumerate(zip(expected, found, strict=True)):
        if one == other:
            continue
        bits = zip(one[3], other[3], strict=False)
        token = next((at for at, (a, b) in enumerate(bits) if a != b), None)
        place = "" if token is None else f" at token {token}: {one[3][token]}, {other[3][token]}"
        return f"turn {turn}{place}: expected {one[:3]}, found {other[:3]}"
    return "none"


def count_tokens(model: Path, text: str) -> int:
    return len(tokenize(model, prompt=text))


def make_questions(
    models: Sequence[Path], seed: int, count: Callable[[Path, str], int] = count_tokens
) -> list[Question]:
    """The same for the same seed: of every kind some, on every model."""
    rng = random.Random(seed)
    questions: list[Question] = []
    for model in models:

        def opening(n_tokens: int, model: Path = model) -> str:
            """Words at random, about so many tokens of this model."""
            words = rng.choices(_WORDS, k=n_tokens)
            return " ".join(words[: n_tokens * n_tokens // count(model, " ".join(words))])

        for kind in (_short, _short, _conversation, _constrained, _long):
            name = f"{kind.__name__[1:]} {len(questions)}"
            questions.append(kind(name, model, rng, opening))
    return questions


Opening = Callable[[int], str]


def _short(name: str, model: Path, rng: random.Random, opening: Opening) -> Question:
    sampling = Sampling(temperature=rng.choice((0.0, 0.9)), seed=rng.randrange(1000))
    text = f"{opening(rng.randint(2, 40))}:"
    return Question(name, model, 512, (text,), rng.randint(4, 16), sampling, {"logprobs": 1})


def _conversation(name: str, model: Path, rng: random.Random, opening: Opening) -> Question:
    turns = tuple(f"\nQ: what of the {word}?\nA:" for word in rng.sample(_WORDS, 3))
    sampling = Sampling(temperature=0.7, seed=rng.randrange(1000))
    return Question(name, model, 512, (opening(100) + turns[0], *turns[1:]), 10, sampling)


def _constrained(name: str, model: Path, rng: random.Random, opening: Opening) -> Question:
    extras = rng.choice(({"json_schema": PEOPLE}, {"grammar": YES_OR_NO}))
    sampling = Sampling(temperature=0.8, seed=rng.randrange(1000))
    return Question(name, model, 512, (f"A person of the {opening(5)}:",), 16, sampling, extras)


def _long(name: str, model: Path, rng: random.Random, opening: Opening) -> Question:
    """Longer than a chunk of prefill, twice: the first chunk may be reused, the rest not."""
    sampling = Sampling(temperature=0.5, seed=rng.randrange(1000))
    turns = (opening(700) + "\nSo", " and then")
    return Question(name, model, 1024, turns, 6, sampling, {"logprobs": 0})
