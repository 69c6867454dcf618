"""What the C library keeps of freed memory: on a CPU the device's memory is this process's own."""

import ctypes
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 << 10


def give_back_large_blocks() -> bool:
    """Let glibc give large blocks back as soon as they are freed; False with another C library.

    Left to itself it raises its thresholds with each large block that is freed, up to 32 MiB, and
    keeps what lies below: memory that no ledger knows of.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE) and mallopt(_M_TRIM_THRESHOLD, _LARGE))
