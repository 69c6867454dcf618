"""Amounts of memory as people write them ("400MiB") and as the ledger counts them (bytes), and
spans of time as people write them ("90d"), in seconds."""

import re
from typing import Final

_FACTORS = {
    "": 1,
    "B": 1,
    "K": 1 << 10,
    "KIB": 1 << 10,
    "M": 1 << 20,
    "MIB": 1 << 20,
    "G": 1 << 30,
    "GIB": 1 << 30,
    "T": 1 << 40,
    "TIB": 1 << 40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_bytes(text: str) -> int:
    """Return the number of bytes that `text` means, for example "400MiB", "1.5 GiB" or "1048576".

    KiB, MiB, GiB, TiB (and K, M, G, T) are powers of 1024; kB, MB, GB, TB powers of 1000; a bare
    number is bytes. Raises ValueError, with a message fit for a person, for anything else.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2].upper() not in _FACTORS:
        raise ValueError(
            f"{text!r} is not an amount of memory; write bytes or a unit, such as 400MiB or 2GiB"
        )
    number, unit = match[1], match[2].upper()
    whole, _, decimals = number.partition(".")
    scale: int = 10 ** len(decimals)
    return int(whole + decimals) * _FACTORS[unit] // scale


def format_bytes(count: int) -> str:
    """Return `count` bytes for reading, in binary units with at most one decimal: "92.1 MiB"."""
    sign, size = ("-", -count) if count < 0 else ("", count)
    if size < 1024:
        return f"{sign}{size} B"
    unit, factor = next(
        (name, factor)
        for name, factor in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
        if size >= factor
    )
    return f"{sign}{size / factor:.1f}".removesuffix(".0") + f" {unit}"


DAY_S: Final = 86_400
_SPANS: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")


def parse_span(text: str) -> int:
    """Return the seconds that "90m", "12h" or "7d" means. Raises ValueError, in one line."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no span of time; write 90m, 12h or 7d")
    return int(match[1]) * _SPANS[match[2]]
