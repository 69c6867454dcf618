"""Writes tiny models for others than Python: `python -m tests.support.tiny FOLDER KIND...`."""

import sys
from pathlib import Path

from tests.support.tiny import write_tiny_model


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in sys.argv[2:]:
        write_tiny_model(folder / f"{kind}.gguf", kind)


if __name__ == "__main__":
    main()
