"""Samplers beyond the usual ones, and what the model thought of each token."""

import math
from pathlib import Path
from typing import Any

import pytest

from lmx.engine import Engine, InvalidRequest, Result, Sampling
from tests.engine.conftest import N_CTX, MakeEngine

COUNTING = "1, 2, 3, 4, 5, 6, 7,"


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine()


def run(engine: Engine, model: Path, prompt: str, sampling: Sampling, **options: Any) -> Result:
    options.setdefault("max_tokens", 16)
    return engine.submit(
        model=model, prompt=prompt, n_ctx=N_CTX, sampling=sampling, **options
    ).result()


def test_dry_breaks_a_repeated_sequence(engine: Engine, model: Path, endless: Sampling) -> None:
    prompt = "red green blue red green blue red green blue red green"
    bias = endless.logit_bias

    def follows(multiplier: float, breakers: tuple[str, ...] = ()) -> bool:
        sampling = Sampling(
            temperature=0, dry_multiplier=multiplier, dry_breakers=breakers, logit_bias=bias
        )
        return run(engine, model, prompt, sampling, max_tokens=1).text == " blue"

    assert follows(0)
    assert not follows(50)
    assert follows(50, (" green",))


def test_xtc_leaves_out_the_likeliest_tokens(engine: Engine, model: Path) -> None:
    def first(**options: float) -> int:
        sampling = Sampling(temperature=1, top_k=1 if not options else 0, seed=3, **options)  # type: ignore[arg-type]
        result = run(engine, model, "Once upon a", sampling, max_tokens=1, logprobs=0)
        assert result.logprobs is not None
        return result.logprobs[0].token

    likeliest = first()
    assert first(xtc_probability=1, xtc_threshold=0.0) != likeliest


def test_top_n_sigma_of_next_to_nothing_takes_the_likeliest(engine: Engine, model: Path) -> None:
    greedy = run(engine, model, COUNTING, Sampling(temperature=0)).text
    narrow = Sampling(temperature=2, top_k=0, top_p=1, min_p=0, top_n_sigma=0.001, seed=1)
    assert run(engine, model, COUNTING, narrow).text == greedy


def test_each_token_comes_with_its_probability_and_its_rivals(engine: Engine, model: Path) -> None:
    result = run(engine, model, COUNTING, Sampling(temperature=0), logprobs=3)
    assert result.logprobs is not None
    assert len(result.logprobs) == result.completion_tokens
    assert b"".join(token.bytes for token in result.logprobs).decode() == result.text
    for token in result.logprobs:
        assert len(token.top) == 3
        assert token.token == token.top[0].token  # greedy
        assert math.isclose(token.logprob, token.top[0].logprob)
        assert 0 >= token.top[0].logprob >= token.top[1].logprob >= token.top[2].logprob
        assert sum(math.exp(rival.logprob) for rival in token.top) <= 1.001


def test_probabilities_are_those_before_the_sampling_options(engine: Engine, model: Path) -> None:
    plain = run(engine, model, COUNTING, Sampling(temperature=0), max_tokens=1, logprobs=20)
    hot = Sampling(temperature=3, top_k=0, top_p=1, min_p=0, seed=4)
    other = run(engine, model, COUNTING, hot, max_tokens=1, logprobs=20)
    assert plain.logprobs is not None
    assert other.logprobs is not None
    assert [t.token for t in plain.logprobs[0].top] == [t.token for t in other.logprobs[0].top]


def test_no_probabilities_unless_asked_for(engine: Engine, model: Path) -> None:
    assert run(engine, model, COUNTING, Sampling(), max_tokens=1).logprobs is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sampling": Sampling(xtc_probability=2)}, "xtc_probability is 2.0"),
        ({"sampling": Sampling(xtc_threshold=-1)}, "xtc_threshold is -1.0"),
        ({"sampling": Sampling(top_n_sigma=float("inf"))}, "top_n_sigma is inf"),
        ({"sampling": Sampling(dry_multiplier=-1)}, "dry_multiplier is -1.0"),
        ({"sampling": Sampling(dry_base=0.5)}, "dry_base is 0.5"),
        ({"sampling": Sampling(dry_allowed_length=-1)}, "dry_allowed_length must be"),
        ({"sampling": Sampling(dry_penalty_last_n=-2)}, "dry_penalty_last_n must be"),
        ({"sampling": Sampling(dry_breakers=["x" * 41])}, "1 to 40 bytes"),
        ({"sampling": Sampling(dry_breakers=["x"] * 33)}, "more than 32"),
        ({"sampling": Sampling(dry_breakers=[5])}, "dry_breakers: texts"),  # type: ignore[list-item]
        ({"logprobs": 21}, "logprobs is 21"),
        ({"logprobs": -1}, "logprobs is -1"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(
    engine: Engine, model: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        engine.submit(model=model, prompt="a", n_ctx=N_CTX, **options)
    assert "\n" not in str(refusal.value)


def test_a_penalty_may_look_back_further_than_the_context(engine: Engine, model: Path) -> None:
    far = Sampling(
        repeat_penalty=1.1, penalty_last_n=2**31 - 1, dry_multiplier=1, dry_penalty_last_n=2**31 - 1
    )
    assert run(engine, model, "a", far, max_tokens=1).completion_tokens == 1
