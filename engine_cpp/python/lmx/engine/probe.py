"""The child process that opens a model file first: ``python -m lmx.engine.probe PATH``.

Prints one line of JSON: the fields of ModelInfo, or an error.
"""

from __future__ import annotations

import json
import sys

from lmx.engine.files import describe


def main() -> None:
    sys.stdout.write(json.dumps(describe(sys.argv[1])) + "\n")


if __name__ == "__main__":
    main()
