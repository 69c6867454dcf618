"""Whether the engine here would take a model call: one JSON object on standard input and output.

    echo '{"model": "m.gguf", "options": {"grammar": "..."}}' | python -m lmx.workers.preflight

A process of its own, so that programs which must not load the engine can ask. The answer is {} or
{"error": {"code": ..., "message": ...}}.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Answer one question."""
    asked = json.loads(sys.stdin.buffer.read())
    sys.stdout.write(json.dumps(_answer(asked["model"], asked["options"])) + "\n")


def _answer(model: str, options: dict[str, Any]) -> dict[str, Any]:
    try:
        from lmx.engine import EngineError, InvalidRequest, check_request
    except ImportError as error:
        return _problem("engine_missing", error)
    try:
        check_request(model, **options)
    except InvalidRequest as error:
        return _problem("invalid", error)
    except EngineError as error:
        return _problem(type(error).__name__, error)
    return {}


def _problem(code: str, error: Exception) -> dict[str, Any]:
    return {"error": {"code": code, "message": " ".join(str(error).split())}}


if __name__ == "__main__":
    main()
