"""Whether an answer has the form that was asked for: JSON of a schema."""

import json
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

_LONGEST_REASON: Final = 300
#: Regular expressions are not judged: some take for ever on some texts.
_Validator: Final = extend(
    Draft202012Validator, {"pattern": None, "patternProperties": None, "format": None}
)


def fault_of(schema: str, answer: str) -> str | None:
    """Why an answer is not JSON of a schema; None if it is, or if the schema itself is unusable.

    No reference out of the schema is followed.
    """
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError) as error:
        return _brief(f"the answer is not JSON: {error}")
    try:
        found = best_match(_validator(schema).iter_errors(value))
    except (SchemaError, Unresolvable, RecursionError, ValueError):
        return None
    return None if found is None else _brief(_told(found))


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    form = json.loads(schema)
    Draft202012Validator.check_schema(form)
    return _Validator(form, registry=Registry())


def _told(error: ValidationError) -> str:
    return f"the answer is not of its schema: {error.message} (at {error.json_path})"


def _brief(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."
