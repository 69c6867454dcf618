"""Streamed text is the whole text, in valid pieces, up to the first stop string."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from lmx.engine import _core


def stream(data: list[bytes], stops: list[str]) -> tuple[list[str], bool]:
    text = _core.TextStream(stops)
    pieces = [text.push(chunk) for chunk in data]
    return [*pieces, text.flush()], text.stopped


@settings(max_examples=200, deadline=None)
@given(st.text(), st.lists(st.integers(0, 200)))
def test_text_survives_being_cut_anywhere(text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]
    pieces, stopped = stream(chunks, [])
    assert "".join(pieces) == text
    assert not stopped


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=4)))
def test_any_bytes_become_what_python_makes_of_them(chunks: list[bytes]) -> None:
    pieces, _ = stream(chunks, [])
    assert "".join(pieces) == b"".join(chunks).decode(errors="replace")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("abc", max_size=3)),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_the_text_ends_before_the_first_stop_string(chunks: list[str], stops: list[str]) -> None:
    pieces, stopped = stream([chunk.encode() for chunk in chunks], stops)
    whole = "".join(chunks)
    # The stop that is completed first counts, as it would for a reader of the stream.
    ends = [whole.find(stop) + len(stop) for stop in stops if stop in whole]
    assert stopped == bool(ends)
    if not stopped:
        assert "".join(pieces) == whole
    else:
        shown = "".join(pieces)
        assert whole.startswith(shown)
        assert not any(stop in shown for stop in stops)
        assert any(whole.startswith(shown + stop) for stop in stops)
