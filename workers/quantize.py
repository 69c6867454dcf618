"""`python -m lmx.workers.quantize SOURCE TARGET FORMAT`: a model file in another number format.

Writes beside the target first, so that an interrupted run leaves no half of a file. Why it failed
is one line on standard error.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Quantise one file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lmx.workers.quantize", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("format", help="Q8_0, Q4_K_M, F16, ...")
    asked = parser.parse_args(arguments)
    draft = asked.target.with_name(f".{asked.target.name}.{os.getpid()}")
    try:
        from lmx.engine import quantize

        quantize(asked.source, draft, asked.format)
        draft.replace(asked.target)
    except ImportError as error:
        return _refuse(f"the engine cannot be imported: {error}", 5)
    except Exception as error:
        return _refuse(str(error), 2)
    finally:
        draft.unlink(missing_ok=True)
    return 0


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(" ".join(message.split()) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
