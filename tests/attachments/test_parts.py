"""Images and files in messages: told by their bytes, refused in one line."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.workflows.attachments.kinds import recognise
from lmx.workflows.attachments.parts import File, check_parts, sources_of
from lmx.workflows.conversations import as_plain_texts, check_message
from lmx.workflows.errors import InvalidInput
from tests.support.media import pdf, png

GIF = b"GIF89a\x05\x00\x04\x00" + b"\x00" * 8
B64 = base64.b64encode(png()).decode()
IMAGE = {"type": "image", "data": B64}


def checked(*parts: Any) -> tuple[Any, dict[str, File]]:
    files: dict[str, File] = {}
    return check_parts(parts, "user", files), files


@pytest.mark.parametrize(
    ("data", "media_type", "figures"),
    [
        (png(40, 30), "image/png", (40, 30, 0)),
        (GIF, "image/gif", (5, 4, 0)),
        (pdf(3), "application/pdf", (0, 0, 3)),
        ("Größe".encode(), "text/plain", (0, 0, 0)),
    ],
)
def test_a_file_is_what_its_bytes_say(
    data: bytes, media_type: str, figures: tuple[int, int, int]
) -> None:
    kind = recognise(data, "it")
    assert kind.media_type == media_type
    assert (kind.width, kind.height, kind.pages) == figures


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02", "is nothing that models read"),
        (png()[:12], "it is damaged"),
        (b"%PDF-1.7 and no more", "is a damaged PDF"),
        (pdf(1, password="secret"), "is encrypted"),
        (b"\xff" * (32 * 1024 * 1024 + 1), "a file may have 33554432"),
    ],
)
def test_a_file_of_no_use_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as raised:
        recognise(data, "it")
    assert "\n" not in str(raised.value)


def test_a_file_comes_by_path_or_data_and_is_known_by_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"  # a name proves nothing
    path.write_bytes(png())
    by_path, files = checked({"type": "image", "path": str(path)})
    by_data, again = checked({"type": "image", "data": B64})
    by_url, _ = checked({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}})
    assert by_path[0]["name"] == "photo.txt"
    assert by_path[0]["sha256"] == by_data[0]["sha256"] == by_url[0]["sha256"]
    assert files == again
    assert [file.data for file in files.values()] == [png()]


def test_a_single_text_is_a_text_and_a_mark_stays() -> None:
    assert checked({"type": "text", "text": "Hi"})[0] == "Hi"
    marked = {"type": "text", "text": "Hi", "cache": "1h"}
    assert checked(marked)[0] == [marked]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("text", "a part of a message is an object"),
        ({"type": "smell"}, "has the type 'smell'"),
        ({"type": "text"}, "a part of text is"),
        ({"type": "image"}, "exactly one of path, url, data, sha256"),
        ({"type": "image", "url": "x", "data": "x"}, "exactly one of"),
        ({"type": "image", "url": "file:///etc/passwd"}, "must be an http or https address"),
        ({"type": "image", "data": "no base64!"}, "is not base64"),
        ({"type": "image", "path": "/nowhere/at/all.png"}, "cannot be read: No such file"),
        ({"type": "image", "data": base64.b64encode(pdf()).decode()}, "send it as a file"),
        ({"type": "file", "data": B64}, "send it as an image"),
        ({"type": "file", "sha256": "12"}, "64 hexadecimal digits"),
        ({"type": "text", "text": "Hi", "cache": "1w"}, "cache is '1w'"),
    ],
)
def test_a_part_that_cannot_be_meant_is_refused(part: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        checked(part)


def test_only_the_user_shows_images() -> None:
    message = {"role": "assistant", "content": [IMAGE]}
    with pytest.raises(InvalidInput, match="only a message of the user"):
        check_message(message, {})


def test_a_local_model_gets_texts_and_no_images() -> None:
    parts = [{"type": "text", "text": "a", "cache": True}, {"type": "text", "text": "b"}]
    message = check_message({"role": "user", "content": parts}, {})
    as_plain_texts([message])
    assert message == {"role": "user", "content": "a\nb"}
    with pytest.raises(InvalidInput, match="a local model takes text only"):
        as_plain_texts([check_message({"role": "user", "content": [IMAGE]}, {})])


_WORDS = st.sampled_from(
    ["text", "image", "file", "image_url", "data", "url", "sha256", "cache", "name", "type"]
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORDS | st.just(B64) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(_WORDS, _VALUES, max_size=5) | _VALUES, max_size=3))
def test_whatever_is_sent_is_kept_or_refused_in_one_line(content: list[Any]) -> None:
    files: dict[str, File] = {}
    try:
        message = check_message({"role": "user", "content": content}, files)
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert {part["sha256"] for part in sources_of([message]) if "sha256" in part} == set(files)
        assert json.loads(json.dumps(message)) == message
