"""The child process that parses a grammar or a schema: ``python -m lmx.engine.grammar_probe``.

Reads {"grammar": text} or {"json_schema": object} from its standard input and prints one line of
JSON: the rules of the grammar, or an error.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from lmx.engine import _core
from lmx.engine.errors import InvalidRequest
from lmx.engine.json_schema import to_gbnf

_CPU_S = 2
_MEMORY = 1 << 29  # bytes beside what is mapped at the start


def main() -> None:
    wanted: dict[str, Any] = json.loads(sys.stdin.buffer.read())
    answer: dict[str, object]
    _limit()
    try:
        if "json_schema" in wanted:
            wanted["grammar"] = to_gbnf(wanted["json_schema"])
        answer = {"rules": _core.parse_gbnf(wanted["grammar"])}
    except InvalidRequest as error:
        answer = {"error": str(error)}
    except (MemoryError, RecursionError):
        answer = {"error": "it overwhelms the parser; simplify it"}
    sys.stdout.write(json.dumps(answer) + "\n")


def _limit() -> None:
    """Hostile input may cost seconds of computing and some memory, and no more."""
    used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime)
    _lower(resource.RLIMIT_CPU, used + _CPU_S)
    _lower(resource.RLIMIT_CORE, 0)
    mapped = Path("/proc/self/statm")
    if mapped.exists():
        pages = int(mapped.read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + _MEMORY)


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
