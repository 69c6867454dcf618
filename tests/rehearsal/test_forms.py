"""What the played providers weigh, and answer in a given form."""

import base64
from typing import Any

import pytest

from lmx.api.rehearsal.media import Weights, weighed
from lmx.api.rehearsal.tools import form_of, sample
from tests.support.media import pdf, png

WEIGHTS = Weights(image=100, page=10, unseen=7)
IMAGE, FILE = base64.b64encode(png()).decode(), base64.b64encode(pdf(3)).decode()


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}, 100),
        ({"inlineData": {"mimeType": "application/pdf", "data": FILE}}, 30),
        ({"image_url": {"url": f"data:image/png;base64,{IMAGE}"}}, 100),
        ({"file": {"file_data": f"data:application/pdf;base64,{FILE}"}}, 30),
        ({"source": {"type": "url", "url": "https://example.org/a.png"}}, 7),
        ({"source": {"type": "text", "media_type": "text/plain", "data": "text"}}, 0),
    ],
)
def test_bytes_are_weighed_and_are_no_text(part: Any, tokens: int) -> None:
    plain, weight = weighed([{"content": [part, {"type": "text", "text": "Hi"}]}], WEIGHTS)
    assert weight == tokens
    assert plain[0]["content"][1] == {"type": "text", "text": "Hi"}
    assert IMAGE not in str(plain)


def test_what_is_no_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="base64"):
        weighed({"source": {"media_type": "image/png", "data": "not base64!"}}, WEIGHTS)


def test_a_sample_has_what_a_schema_requires() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "counts": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "note": {"type": ["null", "string"]},
            "more": {"type": "string"},
        },
        "required": ["name", "kind", "counts", "note"],
    }
    assert sample(schema) == {"name": "stone", "kind": "a", "counts": [1, 1], "note": None}


def test_tools_are_called_in_turn_or_by_name() -> None:
    tools = [("spawn", None), ("answer", None)]

    def called(turn: int, name: str | None = None) -> str | None:
        return form_of(tools, must=True, name=name, turn=turn, schema=None).tool

    assert [called(0), called(1), called(2), called(0, "answer")] == [
        "spawn",
        "answer",
        "answer",
        "answer",
    ]
    assert form_of(tools, must=False, name=None, turn=0, schema=None).tool is None
