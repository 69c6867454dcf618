"""How many tokens an image or a file is, at the most and as a rule, by provider. Pure.

The most is what a budget holds. Limits count by what is usual, which is trued up after the call.
Sources, read in November 2026: platform.claude.com/docs (vision, PDF support), ai.google.dev
(media resolution, tokens), OpenAI's images guide.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from lmx.workflows.attachments.kinds import PDF, Kind

#: An image is cut into patches of 28 x 28 pixels, a token each; what has more is scaled down.
_PATCH: Final = 28
_CLAUDE_MOST: Final = 4_784
#: Gemini 3 gives an image 1,120 tokens and a page 560; before it, 258 for each tile.
_GEMINI_IMAGE: Final = 1_120
_GEMINI_PAGE: Final = 560
_GEMINI_TILE: Final = 258
#: The most that models of OpenAI's before the patches took: 85 and 170 for each of 8 tiles.
_OPENAI_LEAST: Final = 1_445
#: Text of a dense page; the page's picture comes on top.
_TEXT_OF_A_PAGE: Final = 3_000
#: A page of a PDF, at the most and as a rule.
_PAGE: Final[Mapping[str, tuple[int, int]]] = {
    "anthropic": (_TEXT_OF_A_PAGE + _CLAUDE_MOST, 2_500),
    "gemini": (_TEXT_OF_A_PAGE + _GEMINI_PAGE, _GEMINI_PAGE),
    "openai": (_TEXT_OF_A_PAGE + _OPENAI_LEAST, 2_000),
}
#: What a file is expected to be that nobody here has seen.
_UNSEEN_PAGES: Final = 8
_UNSEEN_IMAGE: Final = 2_000


def tokens_of(provider: str, kind: Kind, size: int) -> tuple[int, int]:
    """(at the most, as a rule) for a file of `size` bytes. No token is shorter than a byte."""
    if kind.width:
        most = _IMAGES[provider](kind.width, kind.height)
        return most, most
    if kind.media_type == PDF:
        most, usual = _PAGE[provider]
        return kind.pages * most, kind.pages * usual
    return size, size // 3


def tokens_unseen(provider: str, context: int, *, image: bool) -> tuple[int, int]:
    """The same for one that the provider fetches by itself: it may fill the context."""
    if image:
        return (_CLAUDE_MOST if provider == "anthropic" else context), _UNSEEN_IMAGE
    return context, _UNSEEN_PAGES * _PAGE[provider][1]


def _patches(width: int, height: int) -> int:
    return ceil(width / _PATCH) * ceil(height / _PATCH)


def _claude(width: int, height: int) -> int:
    """(width * height) / 750 by the older rule, whole patches by the newer one, up to a cap."""
    return min(_CLAUDE_MOST, max(_patches(width, height), ceil(width * height / 750)))


def _gemini(width: int, height: int) -> int:
    """Tiles of two thirds of the shorter side, from 256 to 768 pixels."""
    tile = min(768, max(256, int(min(width, height) / 1.5)))
    return max(_GEMINI_IMAGE, _GEMINI_TILE * ceil(width / tile) * ceil(height / tile))


def _openai(width: int, height: int) -> int:
    """Other servers do not say; their models see patches of 28 pixels, or larger ones."""
    return max(_OPENAI_LEAST, _patches(width, height))


_IMAGES: Final[Mapping[str, Callable[[int, int], int]]] = {
    "anthropic": _claude,
    "gemini": _gemini,
    "openai": _openai,
}
