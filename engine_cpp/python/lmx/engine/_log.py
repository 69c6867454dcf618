"""llama.cpp's log lines, passed on to Python's logging as ``lmx.engine``.

They are collected by the compiled part and handed over whenever one of our functions is called
from Python, so that no thread of the engine ever needs the interpreter. Quiet by default: the
informative lines are debug messages, since llama.cpp tells a great deal.
"""

from __future__ import annotations

import logging

from lmx.engine import _core

logger = logging.getLogger("lmx.engine")
logger.addHandler(logging.NullHandler())


def forward_logs() -> None:
    for level, text in _core.drain_logs():
        logger.log(logging.DEBUG if level < logging.WARNING else level, "%s", text)
