"""How the next token is chosen."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lmx.engine import _core
from lmx.engine.errors import InvalidRequest

_PLAIN = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty", "penalty_last_n"),
    *("xtc_probability", "xtc_threshold"),
    *("dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"),
)
MAX_SEED = 2**32 - 2  # llama.cpp takes the one above for "choose a seed"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling options of one request; the defaults are llama.cpp's.

    ``temperature`` 0 takes the most likely token. Off are: ``top_k`` 0, ``top_p`` 1, ``min_p`` 0,
    ``typical_p`` 1, ``repeat_penalty`` 1, the other penalties 0. ``penalty_last_n`` tokens are
    looked back on (-1: the whole context). With ``seed`` None a fresh one is drawn, and told in
    the result. ``logit_bias`` adds to the logits of token ids; ``float("-inf")`` forbids a token.

    ``top_n_sigma`` (0 is off) keeps the tokens within so many standard deviations of the
    likeliest. With the probability ``xtc_probability`` (0 is off) all tokens that reach
    ``xtc_threshold`` are left out, except for the least likely of them. ``dry_multiplier`` (0 is
    off) penalises going on with a sequence of more than ``dry_allowed_length`` tokens that was
    there before, ``dry_base`` times as much with each token; no sequence spans one of
    ``dry_breakers``.
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
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dry_breakers: Sequence[str] = ("\n", ":", '"', "*")
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def to_core(self) -> _core.Sampling:
        """The same for the compiled part. Raises InvalidRequest for values that do not fit it."""
        seed = secrets.randbelow(MAX_SEED + 1) if self.seed is None else self.seed
        if not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
            raise InvalidRequest(f"seed is {seed!r} but must be between 0 and {MAX_SEED}")
        core = _core.Sampling()
        try:
            for name in _PLAIN:
                setattr(core, name, getattr(self, name))
            core.dry_breakers = list(self.dry_breakers)
            core.seed = seed
            core.logit_bias = [(int(token), float(b)) for token, b in self.logit_bias.items()]
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidRequest(
                f"sampling options must be numbers in range (dry_breakers: texts): {self}"
            ) from error
        return core
