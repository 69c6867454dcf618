"""What providers take of images and files, and what these cost at the most."""

import pytest

from lmx.workflows.attachments.kinds import Kind
from lmx.workflows.attachments.parts import File
from lmx.workflows.attachments.rules import attached_tokens, check_marks
from lmx.workflows.attachments.tokens import tokens_of
from lmx.workflows.errors import InvalidInput
from lmx.workflows.providers.catalog import CloudModel

READS = frozenset(("images", "files"))
CLAUDE = CloudModel("claude", "anthropic", "c", 1_000_000, 64_000, READS)
SMALL = CloudModel("small", "anthropic", "c", 200_000, 64_000, READS)
GEMINI = CloudModel("gemini", "gemini", "g", 1_000_000, 64_000, READS)
BLIND = CloudModel("blind", "openai", "o", 8_000, 4_000)


def attached(model: CloudModel, *kinds: Kind, size: int = 1000) -> tuple[int, int]:
    parts = [
        {
            "type": "image" if kind.width else "file",
            "sha256": str(place),
            "size": size,
        }
        for place, kind in enumerate(kinds)
    ]
    files = {str(place): File(str(place), kind) for place, kind in enumerate(kinds)}
    return attached_tokens(model, parts, files)


# Measured by others for one image or page with a short prompt (about 10 to 80 tokens of it):
# huggingface.co/datasets/JOHNISKING/image-token-cost and pdf-token-cost, October 2026.
@pytest.mark.parametrize(
    ("provider", "size", "measured"),
    [
        ("anthropic", (1920, 1080), 2768 - 77),
        ("anthropic", (4032, 3024), 4005),
        ("anthropic", (256, 256), 177 - 77),
        ("gemini", (4032, 3024), 1065),
        ("gemini", (256, 256), 1090),
        ("openai", (4032, 3024), 14_364),
        ("openai", (768, 768), 692),
    ],
)
def test_an_image_never_costs_more_than_is_held(
    provider: str, size: tuple[int, int], measured: int
) -> None:
    most, _ = tokens_of(provider, Kind("image/png", *size), 1)
    assert most >= measured


@pytest.mark.parametrize(("provider", "measured"), [("anthropic", 2481), ("gemini", 561)])
def test_a_page_never_costs_more_than_is_held(provider: str, measured: int) -> None:
    most, usual = tokens_of(provider, Kind("application/pdf", pages=10), 1)
    assert most >= 10 * measured
    assert usual < most


def test_a_text_has_no_more_tokens_than_bytes() -> None:
    assert tokens_of("gemini", Kind("text/plain"), 900)[0] == 900


def test_what_nobody_has_seen_may_fill_the_context_once() -> None:
    parts = [{"type": "file", "url": "https://example.org/a.pdf"}] * 3
    assert attached_tokens(CLAUDE, parts, {})[0] == CLAUDE.context
    image = [{"type": "image", "url": "https://example.org/a.png"}]
    assert attached_tokens(CLAUDE, image, {})[0] < 5_000


@pytest.mark.parametrize(
    ("model", "kinds", "size", "told"),
    [
        (BLIND, [Kind("image/png", 4, 4)], 9, "blind reads no images"),
        (BLIND, [Kind("application/pdf", pages=1)], 9, "blind reads no files"),
        (SMALL, [Kind("image/png", 4, 4)] * 101, 9, "has 101 images; small takes 100"),
        (SMALL, [Kind("application/pdf", pages=101)], 9, "101 pages of PDF; small takes 100"),
        (CLAUDE, [Kind("image/png", 8001, 4)], 9, "8001 x 4 pixels; claude takes 8000 a side"),
        (CLAUDE, [Kind("image/png", 2001, 4)] * 21, 9, "claude takes 2000 a side"),
        (CLAUDE, [Kind("image/png", 4, 4)], 8 << 20, "bytes of an image; claude takes 7864320"),
        (CLAUDE, [Kind("application/pdf", pages=1)], 25 << 20, "bytes of images and files"),
        (GEMINI, [Kind("image/gif", 4, 4)], 9, "gemini does not read image/gif"),
    ],
)
def test_what_a_provider_would_refuse_is_refused_at_submission(
    model: CloudModel, kinds: list[Kind], size: int, told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        attached(model, *kinds, size=size)


def test_a_provider_takes_so_many_cache_marks() -> None:
    check_marks(CLAUDE, 4)
    check_marks(GEMINI, 40)
    with pytest.raises(InvalidInput, match="claude takes 4 marks"):
        check_marks(CLAUDE, 5)
