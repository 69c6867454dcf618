"""How the next token is chosen."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from lmx.engine import _core
from lmx.engine.errors import InvalidRequest

MAX_SEED = 2**32 - 2  # llama.cpp takes the one above for "choose a seed"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling options of one request; the defaults are llama.cpp's.

    ``temperature`` 0 takes the most likely token. Off are: ``top_k`` 0, ``top_p`` 1, ``min_p`` 0,
    ``typical_p`` 1, ``repeat_penalty`` 1, the other penalties 0. ``penalty_last_n`` tokens are
    looked back on (-1: the whole context). With ``seed`` None a fresh one is drawn, and told in
    the result. ``logit_bias`` adds to the logits of token ids; ``float("-inf")`` forbids a token.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = 64
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def to_core(self) -> _core.Sampling:
        """The same for the compiled part. Raises InvalidRequest for values that do not fit it."""
        seed = secrets.randbelow(MAX_SEED + 1) if self.seed is None else self.seed
        if not 0 <= seed <= MAX_SEED:
            raise InvalidRequest(f"seed is {seed} but must be between 0 and {MAX_SEED}")
        core = _core.Sampling()
        try:
            core.temperature = self.temperature
            core.top_k = self.top_k
            core.top_p = self.top_p
            core.min_p = self.min_p
            core.typical_p = self.typical_p
            core.repeat_penalty = self.repeat_penalty
            core.presence_penalty = self.presence_penalty
            core.frequency_penalty = self.frequency_penalty
            core.penalty_last_n = self.penalty_last_n
            core.seed = seed
            core.logit_bias = [(int(token), float(b)) for token, b in self.logit_bias.items()]
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"sampling options must be numbers in range: {self}") from error
        return core
