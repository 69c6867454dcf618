"""What the engine offers: the soak asks for all of it."""

from __future__ import annotations

import inspect
from typing import Any

from lmx.engine import Engine

SUBMIT = inspect.signature(Engine.submit).parameters
ENGINE = inspect.signature(Engine.__init__).parameters


def supported(parameters: Any, **options: Any) -> dict[str, Any]:
    """Those options that there are."""
    return {name: value for name, value in options.items() if name in parameters}


def missing() -> list[str]:
    """Options that the soak would use and the engine lacks."""
    of_submit = [name for name in ("session", "mode", "max_unread") if name not in SUBMIT]
    names = ("host_bytes", "spill_dir", "spill_bytes", "streaming")
    of_engine = [name for name in names if name not in ENGINE]
    return [f"submit({name}=)" for name in of_submit] + [f"Engine({name}=)" for name in of_engine]
