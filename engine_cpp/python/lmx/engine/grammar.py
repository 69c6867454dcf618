"""What a text must look like: a GBNF grammar or a JSON schema, parsed once, in a child process."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lmx.engine import _core
from lmx.engine.errors import EngineError, InvalidRequest

MAX_BYTES = 65_536
_TIMEOUT_S = 60.0  # of the clock; the child itself gives up after seconds of computing
_COMPLAINT = "error parsing grammar: "


def to_core(grammar: str | None, json_schema: Mapping[str, Any] | None) -> _core.Grammar | None:
    """The grammar to follow, if one is asked for. Raises InvalidRequest, in one line."""
    if grammar is None and json_schema is None:
        return None
    if grammar is not None and json_schema is not None:
        raise InvalidRequest("give either grammar= or json_schema=, and not both")
    name = "grammar" if json_schema is None else "json_schema"
    try:
        source = json.dumps(
            {name: grammar if json_schema is None else json_schema}, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} cannot be written as JSON: {error}") from error
    if grammar is not None and (not isinstance(grammar, str) or "\0" in grammar):
        raise InvalidRequest("grammar must be a text without NUL characters")
    if len(source) > MAX_BYTES:
        raise InvalidRequest(
            f"{name} has {len(source)} bytes but may have {MAX_BYTES}; make it smaller"
        )
    parsed = _parse(source, name)
    if isinstance(parsed, str):
        raise InvalidRequest(parsed)
    return parsed


@lru_cache(maxsize=64)
def _parse(source: str, name: str) -> _core.Grammar | str:
    """The grammar, or what is wrong with it; a failure of the child itself is raised, not kept."""
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "lmx.engine.grammar_probe"],
            input=source.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{name} takes too long to parse; simplify it"
    if child.returncode < 0:
        return f"{name} overwhelms the parser; simplify it"
    lines = child.stdout.splitlines()
    complaint = child.stderr.decode(errors="replace")
    if child.returncode != 0 or not lines:
        reason = complaint.strip().rpartition("\n")[2]
        raise EngineError(f"{name} cannot be checked: {reason or 'the checker failed'}")
    answer = json.loads(lines[-1])
    if "rules" not in answer:
        where = complaint.partition(_COMPLAINT)[2].partition("\n")[0]
        return _one_line(name, f"{answer['error']}: {where}" if where else answer["error"])
    try:
        return _core.Grammar(answer["rules"])
    except InvalidRequest as error:
        return _one_line(name, str(error))


# Objects of the compiled part that outlive the interpreter would be reported as leaks.
atexit.register(_parse.cache_clear)


def _one_line(name: str, reason: str) -> str:
    text = "".join(char if char.isprintable() else " " for char in reason)[:300].strip()
    return text if text.startswith(name) else f"{name}: {text}"
