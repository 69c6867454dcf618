"""Refuses a model call at its submission for what its worker would refuse it for: grammar, tools.

Asked of a worker-side process, once for each form. Where the engine or the model's file is not on
this host, the worker is the first to look.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import psycopg

from lmx.api.inspection import engine_installed
from lmx.workflows.errors import InvalidInput
from lmx.workflows.models import list_models

_TIMEOUT_S: Final = 120
_FORMS: Final = ("grammar", "json_schema", "tools", "tool_choice", "template_options")
_BESIDE: Final = ("stop", "parallel_tool_calls", "thinking")


def has_form(call: Mapping[str, Any]) -> bool:
    """Return whether a call asks for anything that could be malformed."""
    return any(call.get(name) is not None for name in _FORMS)


def refuse_malformed(
    connection: psycopg.Connection[Any], model: str, call: Mapping[str, Any]
) -> None:
    """Raise InvalidInput, in one line, if the model cannot answer in the form that is asked for.

    `call` has the options of `Client.generate`. Looks at grammar, schema and tools, which can be
    wrong in ways that only the engine knows; not at the words of the messages.
    """
    if not has_form(call) or not engine_installed():
        return
    options = {name: call[name] for name in (*_FORMS, *_BESIDE) if call.get(name) is not None}
    rows = [row for row in list_models(connection) if row.name == model]
    if not rows or not Path(rows[0].path).is_file():
        return
    [row] = rows
    if call.get("prompt") is not None:
        options["prompt"] = "Hello"
    else:
        options["messages"] = [{"role": "user", "content": "Hello"}]
    try:
        asked = json.dumps({"model": row.path, "options": options}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return  # refused by the submission itself, which says where
    if problem := _problem(asked, row.sha256):
        raise InvalidInput(problem)


@lru_cache(maxsize=256)
def _problem(asked: str, _file: str) -> str | None:
    """What is wrong with the call; None when nothing is, or nobody can tell."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lmx.workers.preflight"],
            input=asked.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        error: Mapping[str, str] = json.loads(done.stdout).get("error", {})
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return error["message"] if error.get("code") == "invalid" else None
