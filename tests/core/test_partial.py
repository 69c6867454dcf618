"""What has come of an answer that never was whole: its bounds, and what must not be seen."""

import json

import pytest

from lmx.workflows.partial import Partial
from lmx.workflows.providers.keys import Key

KEY = Key("sk-marked-3f9c2a7e5d")


def answer(*pieces: str) -> Partial:
    partial = Partial(1, KEY.redact_growing)
    for piece in pieces:
        partial.add(piece)
    return partial


def test_the_end_of_each_part_is_told_with_its_whole_length() -> None:
    partial = Partial(2)
    assert partial.end(5) is None
    for number in range(2000):
        partial.add(text=f"{number:04}", reasoning="Hm. " if number == 7 else "")
    assert partial.end(5) == {
        "attempt": 2,
        "text": "81999",
        "text_length": 8000,
        "reasoning": "Hm. ",
        "reasoning_length": 4,
    }


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        (["It is sk-mark", "ed-3f9c2a7e5d, ", "is it?"], "It is [key], is it?"),
        (["It is sk-marked-3f9c2a7e5d"], "It is [key]"),
        (["It is sk-marked-3f9"], "It is "),
        (["It is sk-"], "It is sk-"),
    ],
)
def test_a_key_that_comes_in_pieces_is_never_seen(pieces: list[str], seen: str) -> None:
    told = answer(*pieces).end(100)
    assert told is not None
    assert told["text"] == seen


def test_no_part_of_a_key_is_seen_where_the_text_is_cut() -> None:
    told = answer("It is sk-marked-3f9c2a7e5d.").end(6)
    assert told is not None
    assert told["text"] == "[key]."


def test_what_no_database_can_hold_is_spelt_out() -> None:
    told = answer("a\x00b\ud800").end(100)
    assert json.loads(json.dumps(told))["text"] == "a\\x00b\\ud800"
