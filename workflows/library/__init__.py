"""Workflows that come with lmx: every worker process has them."""

from importlib import import_module
from typing import Final

MODULES: Final = ("agent", "graph")


def load() -> None:
    """Register them."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
