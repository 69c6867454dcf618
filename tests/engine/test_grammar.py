"""The walk along a grammar, with generated texts and no model."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import _core
from lmx.engine.errors import EngineError
from lmx.engine.grammar import to_core

ANY_OBJECT = {"type": "object"}
PLAIN = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


def fresh(schema: dict[str, Any]) -> _core.Grammar:
    """A new text under the schema. Parsed once, since the parsed grammar is kept."""
    grammar = to_core(None, schema)
    assert grammar is not None
    return grammar


def leaves_at(schema: dict[str, Any], data: bytes) -> int | None:
    """The number of bytes after which no text of the schema begins so; None if one is `data`."""
    grammar = fresh(schema)
    for end in range(1, len(data) + 1):
        if not grammar.allows(data[:end]):
            return end
    return None


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), VALUES), st.booleans())
def test_json_that_python_writes_is_a_text_of_the_grammar(
    value: dict[str, Any], ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).replace("\x7f", "\\u007f")
    data = text.encode()
    assert fresh(ANY_OBJECT).allows(data)
    assert leaves_at(ANY_OBJECT, data[:200]) is None  # every beginning of it, cut anywhere


@pytest.mark.parametrize(
    "text", ["[]", '{"a"}', '{"a": 01}', '{"a": tru}', '{"a\n": 1}', '{"a": "\\d"}', "{} {}", "{},"]
)
def test_what_is_not_json_leaves_the_grammar(text: str) -> None:
    assert leaves_at(ANY_OBJECT, text.encode()) is not None


def test_bytes_that_are_not_allowed_change_nothing() -> None:
    text = _core.Grammar(_core.parse_gbnf('root ::= "a" "b"'))
    with pytest.raises(EngineError, match="left its grammar"):
        text.accept(b"ax")
    assert not text.may_end
    text.accept(b"ab")
    assert text.must_end
