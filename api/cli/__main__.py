"""`python -m lmx.api.cli` is the `lmx` command."""

from lmx.api.cli.app import main

if __name__ == "__main__":
    main()
