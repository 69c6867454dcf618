"""What a call may say: refused at its submission, in one line, or taken by its worker."""

from typing import Any

import pytest

from lmx.workflows.call_options import check_call
from lmx.workflows.errors import InvalidInput


def checked(**options: Any) -> dict[str, Any]:
    return check_call("Hi", None, 4, options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"repeat_penalty": 0}, "repeat_penalty is 0; it must be a number from 0.01 to 10"),
        ({"top_k": 1.5}, "top_k is 1.5; it must be a whole number from 0 to 1000000"),
        ({"top_k": True}, "top_k is True"),
        ({"seed": 2**32 - 1}, "seed is 4294967295"),
        ({"penalty_last_n": -2}, "penalty_last_n is -2"),
        ({"min_p": float("nan")}, "min_p is nan"),
        ({"dry_breakers": [""]}, "dry_breakers must be at most 32 texts of 1 to 40 bytes"),
        ({"dry_breakers": ["ä" * 21]}, "dry_breakers must be"),
        ({"dry_breakers": ["x"] * 33}, "dry_breakers must be"),
        ({"stop": 3}, "stop must be a text or a list of texts"),
        ({"stop": [3]}, "stop must be a text or a list of texts"),
        ({"kv_type": "q9"}, "kv_type is 'q9'; it must be one of f32, f16"),
        ({"kv_type": ["f16"]}, r"kv_type is \['f16'\]"),
        ({"mode": "fast"}, "mode is 'fast'; it must be one of throughput, deterministic"),
        ({"logit_bias": {"x": 1}}, "logit_bias must be"),
        ({"logit_bias": {"1": float("nan")}}, "logit_bias must be"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias must be"),
        ({"grammar": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_what_no_worker_would_take_is_refused_in_one_line(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidInput, match=complaint) as refusal:
        checked(**options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("prompt", "messages", "complaint"),
    [
        ("", None, "the prompt is empty"),
        (b"Hi", None, "must be a text, not bytes"),
        ("a\ud800b", None, "half of a surrogate pair"),
        (None, [], "a list of at least one message"),
        (None, "Hi", "a list of at least one message"),
        (None, [5], "a list of at least one message"),
        (None, [{"role": "user", "content": "\ud800"}], "half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused(prompt: Any, messages: Any, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        check_call(prompt, messages, 4, {})


def test_one_text_is_a_list_of_one() -> None:
    assert checked(stop="END", dry_breakers="\n")["stop"] == ["END"]


def test_an_option_of_none_is_not_given() -> None:
    assert checked(kv_type=None, mode=None, top_k=None) == {"prompt": "Hi"}
