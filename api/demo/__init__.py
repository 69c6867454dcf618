"""`lmx demo`: three agents on three local models, on a device too small for all three at once."""

from lmx.api.demo.show import run_demo

__all__ = ["run_demo"]
