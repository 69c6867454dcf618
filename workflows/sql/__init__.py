"""The hot statements, one per file, named by their verb: `statement("claim")`.

A line `-- :include NAME` in a file stands for the content of `NAME.sql`.
"""

import re
from functools import cache
from importlib.resources import files

_INCLUDE = re.compile(r"^-- :include (\w+)$", re.MULTILINE)


@cache
def statement(name: str) -> str:
    """Return the text of `<name>.sql` without its comment lines."""
    lines = _read(name).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("--"))


def _read(name: str) -> str:
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda include: _read(include[1]), text)
