"""Generation: text, chat, streams, sampling, stop strings, limits and bad input."""

from pathlib import Path

import pytest

from lmx.engine import Engine, EngineError, InvalidRequest, PromptTooLong, Sampling, tokenize
from tests.engine.conftest import N_CTX, MakeEngine

GREEDY = Sampling(temperature=0)
QUESTION = [{"role": "user", "content": "Name three colours."}]


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine()


def test_a_prompt_is_continued(engine: Engine, model: Path) -> None:
    result = engine.submit(
        model=model, prompt="One, two, three, four,", max_tokens=6, n_ctx=N_CTX, sampling=GREEDY
    ).result()
    assert "five" in result.text
    assert result.finish_reason == "length"
    assert result.completion_tokens == 6
    assert result.prompt_tokens == len(tokenize(model, prompt="One, two, three, four,"))
    assert result.prefill_s > 0
    assert result.decode_s > 0


def test_a_chat_is_answered_and_ends_by_itself(engine: Engine, model: Path) -> None:
    result = engine.submit(
        model=model, messages=QUESTION, max_tokens=200, n_ctx=N_CTX, sampling=GREEDY
    ).result()
    assert result.finish_reason == "stop"
    assert "<|im_end|>" not in result.text
    assert result.completion_tokens < 200


def test_the_stream_is_the_text(engine: Engine, model: Path) -> None:
    request = engine.submit(model=model, messages=QUESTION, max_tokens=24, n_ctx=N_CTX)
    pieces = list(request)
    assert len(pieces) > 1
    assert "".join(pieces) == request.result().text
    assert request.poll() == ""
    assert request.done


def test_the_same_seed_gives_the_same_text(engine: Engine, model: Path) -> None:
    def run(seed: int | None) -> tuple[str, int]:
        result = engine.submit(
            model=model,
            messages=QUESTION,
            max_tokens=24,
            n_ctx=N_CTX,
            sampling=Sampling(temperature=1.5, seed=seed),
        ).result()
        return result.text, result.seed

    text, seed = run(None)
    assert run(seed) == (text, seed)
    assert len({run(other)[0] for other in range(4)}) > 1


def test_a_stop_string_ends_the_text_before_it(
    engine: Engine, model: Path, endless: Sampling
) -> None:
    request = engine.submit(
        model=model,
        prompt="1, 2, 3, 4, 5,",
        max_tokens=60,
        n_ctx=N_CTX,
        sampling=endless,
        stop=["8", "never"],
    )
    streamed = "".join(request)
    result = request.result()
    assert result.finish_reason == "stop"
    assert "7" in result.text
    assert "8" not in result.text
    assert streamed == result.text


def test_text_that_was_held_back_for_a_stop_string_is_not_lost(
    engine: Engine, model: Path, endless: Sampling
) -> None:
    def run(*stop: str) -> str:
        return (
            engine.submit(
                model=model,
                prompt="1, 2, 3,",
                max_tokens=9,
                n_ctx=N_CTX,
                sampling=endless,
                stop=stop,
            )
            .result()
            .text
        )

    plain = run()
    assert run(plain[-1] + "#") == plain


def test_a_forbidden_token_is_never_chosen(engine: Engine, model: Path) -> None:
    def first(bias: dict[int, float]) -> str:
        return (
            engine.submit(
                model=model,
                prompt="One, two, three,",
                max_tokens=1,
                n_ctx=N_CTX,
                sampling=Sampling(temperature=0, logit_bias=bias),
            )
            .result()
            .text
        )

    usual = first({})
    [token] = tokenize(model, prompt=usual)
    assert first({token: float("-inf")}) != usual


def test_penalties_break_repetition(engine: Engine, model: Path, endless: Sampling) -> None:
    def distinct_words(penalty: float) -> int:
        text = (
            engine.submit(
                model=model,
                prompt="the the the the the the the the",
                max_tokens=24,
                n_ctx=N_CTX,
                sampling=Sampling(
                    temperature=0, repeat_penalty=penalty, logit_bias=endless.logit_bias
                ),
            )
            .result()
            .text
        )
        return len(set(text.split()))

    assert distinct_words(1.8) > distinct_words(1.0)


def test_generation_ends_when_the_context_is_full(
    engine: Engine, model: Path, endless: Sampling
) -> None:
    prompt = "word " * 230
    result = engine.submit(
        model=model, prompt=prompt, max_tokens=1000, n_ctx=256, sampling=endless
    ).result()
    assert result.finish_reason == "length"
    assert result.prompt_tokens + result.completion_tokens == 257  # the last is not fed back


def test_every_character_arrives_whole(engine: Engine, model: Path, endless: Sampling) -> None:
    request = engine.submit(
        model=model,
        prompt="Emoji: 😀😃😄😁😆😅😂🤣😊😇🙂🙃😉😌😍🥰",
        max_tokens=24,
        n_ctx=N_CTX,
        sampling=endless,
    )
    for piece in request:
        piece.encode()
        assert not piece.startswith("\ufffd")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "either prompt= or messages="),
        ({"prompt": "a", "messages": QUESTION}, "either prompt= or messages="),
        ({"prompt": ""}, "prompt is empty"),
        ({"messages": []}, "messages is empty"),
        ({"messages": [{"content": "x"}]}, "needs a role"),
        ({"messages": [{"role": "user", "content": 5}]}, "content that is not text"),
        ({"prompt": "\ud800"}, "not valid Unicode"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens is 0"),
        ({"prompt": "a", "max_tokens": -1}, "max_tokens is -1"),
        ({"prompt": "a", "n_ctx": 8193}, "was trained for 8192"),
        ({"prompt": "a", "deadline_s": -1.0}, "deadline_s is -1.0"),
        ({"prompt": "a", "sampling": Sampling(temperature=-1)}, "temperature is -1.0"),
        ({"prompt": "a", "sampling": Sampling(temperature=float("nan"))}, "temperature is nan"),
        ({"prompt": "a", "sampling": Sampling(top_p=1.5)}, "top_p is 1.5"),
        ({"prompt": "a", "sampling": Sampling(top_k=-3)}, "top_k must be"),
        ({"prompt": "a", "sampling": Sampling(seed=-1)}, "seed is -1"),
        ({"prompt": "a", "sampling": Sampling(repeat_penalty=0)}, "repeat_penalty is 0.0"),
        ({"prompt": "a", "sampling": Sampling(logit_bias={99999: 1.0})}, "names token 99999"),
        ({"prompt": "a", "sampling": Sampling(top_k="x")}, "must be numbers"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_request_is_refused_in_one_line(
    engine: Engine, model: Path, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InvalidRequest, match=complaint) as refusal:
        engine.submit(model=model, **options)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)
    assert engine.snapshot()["totals"]["requests"] == 0


def test_a_prompt_larger_than_the_context_is_refused(engine: Engine, model: Path) -> None:
    with pytest.raises(PromptTooLong, match="600 tokens but the context leaves room for 511"):
        engine.submit(model=model, prompt="word" + " word" * 599, n_ctx=N_CTX)


def test_a_prompt_of_a_hundred_megabytes_is_refused_at_once(engine: Engine, model: Path) -> None:
    with pytest.raises(PromptTooLong, match="100000000 bytes"):
        engine.submit(model=model, prompt="x" * 100_000_000, n_ctx=N_CTX)


def test_a_prompt_may_contain_nul_bytes(engine: Engine, model: Path) -> None:
    result = engine.submit(model=model, prompt="a\0b", max_tokens=2, n_ctx=N_CTX).result()
    assert result.completion_tokens >= 1


def test_a_result_that_is_not_ready_times_out_and_the_request_goes_on(
    engine: Engine, model: Path, endless: Sampling
) -> None:
    request = engine.submit(
        model=model, prompt="Once", max_tokens=30, n_ctx=N_CTX, sampling=endless
    )
    with pytest.raises(TimeoutError):
        request.result(timeout=0)
    assert request.result().completion_tokens == 30


def test_a_closed_engine_refuses_requests(engine: Engine, model: Path) -> None:
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="engine is closed"):
        engine.submit(model=model, prompt="a")
    assert engine.snapshot()["used"] == 0
