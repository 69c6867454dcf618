"""The parts of a message: text, images and files, each checked and brought into one form.

    {"type": "text", "text": "What is on it?"}
    {"type": "image", "path": "a.png"}                 a file that this process can read
    {"type": "image", "url": "https://..."}            fetched by the provider
    {"type": "file", "data": "JVBERi0...", "name": "doc.pdf"}   base64
    {"type": "file", "sha256": "..."}                  one that lmx keeps already

OpenAI's `image_url` and `file` parts are understood, too. `"cache": true` (or "1h") asks a provider
that has prompt caching to keep all that comes before the part's end.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lmx.workflows.attachments.kinds import IMAGES, MAX_BYTES, PDF, TEXT, Kind, recognise
from lmx.workflows.errors import InvalidInput

_SOURCES: Final = ("path", "url", "data", "sha256")
#: What a part may say beside its source; the kept form tells the file's own figures, too.
_KNOWN: Final = frozenset(
    ("type", "cache", "name", "media_type", "size", "width", "height", "pages", *_SOURCES)
)
_MAX_URL: Final = 8192
_SHA256: Final = re.compile("^[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message. `data` is None while only its hash is known."""

    sha256: str
    kind: Kind | None = None
    data: bytes | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Its bytes, as far as they are here."""
        return len(self.data or b"")


def check_parts(
    content: Sequence[Any], role: str, files: dict[str, File]
) -> str | list[dict[str, Any]]:
    """A content of parts as it is kept; a single plain text is one. What it brings goes to `files`.

    Raises InvalidInput, in one line.
    """
    if not content:
        raise InvalidInput("the content of a message is a text or a list of parts; it is empty")
    kept = [_check(part, role, files) for part in content]
    return kept[0]["text"] if len(kept) == 1 and set(kept[0]) == {"type", "text"} else kept


def check_cache(value: Any) -> Any:
    """A cache mark as it is kept. Raises InvalidInput."""
    if not isinstance(value, bool) and value != "1h":
        raise InvalidInput(f"cache is {value!r}", hint='it must be true, false or "1h"')
    return value


def sources_of(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All parts of a conversation that are no text."""
    contents = (message.get("content") for message in messages)
    return [
        part
        for content in contents
        if isinstance(content, list)
        for part in content
        if part["type"] != "text"
    ]


def _check(part: Any, role: str, files: dict[str, File]) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        raise InvalidInput("a part of a message is an object with a type: text, image or file")
    part = _plain(part)
    kind = part.get("type")
    kept: dict[str, Any] = {"type": kind}
    if kind == "text":
        if set(part) - {"type", "text", "cache"} or not isinstance(part.get("text"), str):
            raise InvalidInput('a part of text is {"type": "text", "text": ...}')
        kept["text"] = part["text"]
    elif kind in ("image", "file"):
        if role != "user":
            raise InvalidInput(f"only a message of the user can have an {kind}, not the {role}'s")
        kept |= _source(part, files)
    else:
        raise InvalidInput(
            f"a part of a message has the type {kind!r}", hint="it must be text, image or file"
        )
    if part.get("cache"):
        kept["cache"] = check_cache(part["cache"])
    return kept


def _plain(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part in OpenAI's words, in ours."""
    inner = part.get("image_url") if part.get("type") == "image_url" else part.get("file")
    if part.get("type") not in ("image_url", "file") or inner is None:
        return part
    if isinstance(inner, str):
        inner = {"url": inner}
    if not isinstance(inner, Mapping):
        raise InvalidInput(f"a part of type {part['type']} needs an object")
    plain: dict[str, Any] = {"type": "image" if part["type"] == "image_url" else "file"}
    plain |= {"url": inner.get("url") or inner.get("file_data") or ""}
    if name := inner.get("filename"):
        plain["name"] = name
    return plain if "cache" not in part else {**plain, "cache": part["cache"]}


def _source(part: Mapping[str, Any], files: dict[str, File]) -> dict[str, Any]:
    kind = part["type"]
    given = [name for name in _SOURCES if part.get(name) is not None]
    if len(given) != 1 or set(part) - _KNOWN:
        raise InvalidInput(f"an {kind} has exactly one of {', '.join(_SOURCES)}")
    for name in (*_SOURCES, "name", "media_type"):
        allowed = str | Path if name == "path" else str
        if part.get(name) is not None and not isinstance(part[name], allowed):
            raise InvalidInput(f"the {name} of an {kind} must be a text")
    named = {"name": part["name"]} if part.get("name") else {}
    source, value = given[0], part[given[0]]
    if source == "sha256":
        if not _SHA256.match(value):
            raise InvalidInput("a sha256 has 64 hexadecimal digits")
        files.setdefault(value, File(value))
        return {"sha256": value, **named}
    if source == "url" and not value.startswith("data:"):
        media_type = {"media_type": part["media_type"]} if part.get("media_type") else {}
        return {"url": _checked_url(value, kind), **media_type, **named}
    if source == "path":
        named = named or {"name": Path(value).name}
        data, what = _read(Path(value)), str(value)
    else:
        data, what = _decoded(value, kind), part.get("name") or f"the {kind}"
    return {**_brought(data, kind, what, files), **named}


def _brought(data: bytes, kind: str, what: str, files: dict[str, File]) -> dict[str, Any]:
    """A file whose bytes are here."""
    known = recognise(data, what)
    refuse_other_kind(kind, known.media_type, what)
    sha256 = hashlib.sha256(data).hexdigest()
    files[sha256] = File(sha256, known, data)
    return {"sha256": sha256}


def refuse_other_kind(kind: str, media_type: str, what: str) -> None:
    """Raise InvalidInput for a PDF that is sent as an image, or the other way round."""
    if media_type not in (IMAGES if kind == "image" else (PDF, TEXT)):
        other = "a file" if kind == "image" else "an image"
        raise InvalidInput(f"{what} is {media_type}", hint=f"send it as {other}")


def _checked_url(url: str, kind: str) -> str:
    try:
        split = urlsplit(url)
        good = split.scheme in ("http", "https") and bool(split.hostname)
    except ValueError:
        good = False
    if not good or len(url) > _MAX_URL or not url.isprintable() or " " in url:
        raise InvalidInput(
            f"the url of an {kind} is {url[:60]!r}", hint="it must be an http or https address"
        )
    return url


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise InvalidInput(f"{str(path)!r} is no path") from None


def _decoded(text: str, kind: str) -> bytes:
    """The bytes of base64, alone or as a data: address."""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise InvalidInput(f"the data of an {kind} must be base64")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"the data of an {kind} is not base64") from None
