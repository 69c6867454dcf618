"""What a file is: told by its bytes, never by its name."""

import io
import logging
from dataclasses import dataclass
from typing import Final

import imagesize

from lmx.workflows.errors import InvalidInput

#: Bytes of one file.
MAX_BYTES: Final = 32 * 1024 * 1024
PDF: Final = "application/pdf"
TEXT: Final = "text/plain"
IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")

_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
#: A PDF's head stands within its first so many bytes, as its readers take it.
_PDF_HEAD: Final = 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """A media type; of an image its size in pixels, of a PDF its number of pages."""

    media_type: str
    width: int = 0
    height: int = 0
    pages: int = 0


def media_type_of(data: bytes) -> str | None:
    """The media type that the bytes begin like; None for what no provider reads."""
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if b"%PDF-" in data[:_PDF_HEAD]:
        return PDF
    return TEXT if _is_text(data) else None


def recognise(data: bytes, what: str) -> Kind:
    """Look into a file; `what` names it in errors. Raises InvalidInput for one of no use."""
    if not data:
        raise InvalidInput(f"{what} is empty")
    if len(data) > MAX_BYTES:
        raise InvalidInput(
            f"{what} has {len(data)} bytes; a file may have {MAX_BYTES}", hint="make it smaller"
        )
    media_type = media_type_of(data)
    if media_type is None:
        raise InvalidInput(
            f"{what} is nothing that models read",
            hint="images are PNG, JPEG, GIF or WebP; files are PDF or text in UTF-8",
        )
    if media_type in IMAGES:
        width, height = imagesize.get(io.BytesIO(data))
        if width < 1 or height < 1:
            raise InvalidInput(f"{what} begins like {media_type}, but tells no size: it is damaged")
        return Kind(media_type, int(width), int(height))
    return Kind(media_type, pages=_pages(data, what)) if media_type == PDF else Kind(media_type)


def _is_text(data: bytes) -> bool:
    if b"\x00" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _pages(data: bytes, what: str) -> int:
    """The pages of a PDF. Whatever its reader trips over makes it unreadable for providers, too."""
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # says much of what it mends
    try:
        reader = PdfReader(io.BytesIO(data))
        locked, pages = reader.is_encrypted, 0
        if not locked:
            pages = reader.get_num_pages()
    except Exception as error:
        raise InvalidInput(f"{what} is a damaged PDF: {error}") from None
    if locked:
        raise InvalidInput(f"{what} is encrypted", hint="save it without its password")
    if pages < 1:
        raise InvalidInput(f"{what} is a PDF without pages")
    return pages
