"""Wakes a thread that sleeps on a database connection."""

import contextlib
import math
import os
import select
from typing import Any

import psycopg


class Alarm:
    """One thread `sleep`s until its connection has news, a time has passed, or another `ring`s."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """End the sleep, or the next one if nobody sleeps now."""
        with contextlib.suppress(OSError):
            os.eventfd_write(self._fd, 1)

    def sleep(self, conn: psycopg.Connection[Any], timeout: float) -> None:
        """Sleep until `conn` is readable, `ring` is called, or `timeout` seconds have passed."""
        poller = select.poll()
        poller.register(conn.fileno(), select.POLLIN)
        poller.register(self._fd, select.POLLIN)
        poller.poll(max(0, math.ceil(timeout * 1000)))
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Free the file descriptor; a later `ring` does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
