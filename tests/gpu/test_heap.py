"""The GPU worker's process keeps no large blocks that were freed."""

import platform
import subprocess
import sys

import pytest

_CHILD = """
import ctypes
from lmx.workers.gpu.heap import give_back_large_blocks

class Heap(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Heap

def mapped(size):
    before = mallinfo().hblks
    block = bytearray(size)
    return mallinfo().hblks - before

if {early}:
    assert give_back_large_blocks()
bytearray(16 << 20)  # freed at once
print(mapped(4 << 20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
@pytest.mark.parametrize(("early", "mapped"), [(False, "0"), (True, "1")])
def test_a_large_block_is_mapped_for_itself_whatever_was_freed_before(
    early: bool, mapped: str
) -> None:
    """So that freeing it gives it back to the system."""
    child = subprocess.run(
        [sys.executable, "-c", _CHILD.replace("{early}", str(early))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == mapped
