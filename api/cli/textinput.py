"""Reads what the user hands over: a prompt from arguments, a file or a pipe; JSON; key=value."""

import contextlib
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from lmx.api.cli.output import note
from lmx.workflows.errors import InvalidInput, TooLarge

#: Seconds of silence on standard input after which a person is told what the command waits for.
_PATIENCE_S = 1.0


def split_files(
    files: Sequence[Path], images: Sequence[str]
) -> tuple[list[Path], list[dict[str, Any]]]:
    """What of --file and --image is text for the prompt, and what is attached to it.

    Told by the first bytes of a file, not by its name.
    """
    attached: list[dict[str, Any]] = [
        {"type": "image", "url" if "://" in image else "path": image} for image in images
    ]
    texts = []
    for file in files:
        kind = _attachable(file)
        if kind is None:
            texts.append(file)
        else:
            attached.append({"type": kind, "path": file})
    return texts, attached


def _attachable(file: Path) -> str | None:
    """Whether a file is an "image" or another "file" for a model; None for text, and for pipes.

    Of what cannot be read, the reading of the prompt will say what is wrong.
    """
    from lmx.workflows.attachments.kinds import IMAGES, PDF, media_type_of

    if not file.is_file():
        return None
    with contextlib.suppress(OSError), file.open("rb") as stream:
        kind = media_type_of(stream.read(1024))
        return "image" if kind in IMAGES else "file" if kind == PDF else None
    return None


def read_prompt(
    words: Sequence[str], files: Sequence[Path], *, piped: bool = True, alone: bool = True
) -> str:
    """Join the prompt's parts: the arguments, then the files, or else what is `piped` in.

    Raises InvalidInput when there is nothing to send or it is no text, TooLarge. `alone`: nothing
    else is sent, so that there must be a prompt.
    """
    parts = [_as_text(" ".join(words))]
    if files:
        parts += map(read_file, files)
    elif piped and (stream := _piped_input()) is not None:
        parts.append(_decode(_read_limited(stream, "standard input"), "standard input"))
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt and alone:
        raise InvalidInput(
            "there is no prompt", hint="give it as an argument, by --file, or pipe it in"
        )
    return prompt


def _as_text(words: str) -> str:
    # Python holds the bytes of an argument that are not UTF-8 as lone surrogates.
    return _decode(words.encode("utf-8", "surrogateescape"), "the prompt")


def read_file(path: Path) -> str:
    """Read a text file; `-` is standard input. Raises InvalidInput, TooLarge."""
    if str(path) == "-":
        return _decode(_read_limited(sys.stdin.buffer, "standard input"), "standard input")
    try:
        with path.open("rb") as stream:
            return _decode(_read_limited(stream, str(path)), str(path))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def parse_json(text: str, what: str) -> Any:
    """Read JSON; `@FILE` stands for the content of a file. Raises InvalidInput saying where."""
    import json

    source = read_file(Path(text[1:])) if text.startswith("@") else text
    try:
        return _loads(source)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"{what} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise InvalidInput(f"{what} is JSON nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"{what} is not valid JSON: {error}") from None


def parse_call(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Read a function's arguments: JSON values or plain words, and key=value pairs.

    `key=@FILE` stands for the file's text, `key=@FILE.json` for its value. Raises InvalidInput,
    TooLarge.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = _file_value(value) if value.startswith("@") else _value(value)
        else:
            args.append(_value(word))
    return args, kwargs


def parse_budget(amounts: Sequence[str]) -> dict[str, int] | None:
    """Read budgets: dollars ("0.05") or amounts of another unit ("tokens=5000")."""
    from lmx.workflows.money import USD, parse_usd

    budget: dict[str, int] = {}
    for text in amounts:
        unit, equals, amount = text.rpartition("=")
        if not equals or unit == USD:
            budget[USD] = parse_usd(amount)
            continue
        if not amount.isascii() or not amount.isdigit() or not unit.isidentifier():
            raise InvalidInput(
                f"{text!r} is not a budget", hint="write dollars (0.05), or UNIT=WHOLE NUMBER"
            )
        budget[unit] = int(amount)
    return budget or None


def _file_value(text: str) -> Any:
    return parse_json(text, text[1:]) if text.endswith(".json") else read_file(Path(text[1:]))


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return _loads(text)
    return text


def _loads(text: str) -> Any:
    """Read JSON as JSON is defined: Python also takes NaN, which would arrive as null."""
    import json

    return json.loads(
        text, parse_constant=_no_number, parse_int=_whole_number, parse_float=_finite_number
    )


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _whole_number(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**64:
        raise ValueError("a whole number in it has more than 64 bits")
    return number


def _finite_number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _piped_input() -> IO[bytes] | None:
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return None
    with contextlib.suppress(OSError, ValueError):
        if not select.select([sys.stdin.fileno()], [], [], _PATIENCE_S)[0]:
            note("reading the rest of the prompt from standard input; if there is none: </dev/null")
    return sys.stdin.buffer


def _read_limited(stream: IO[bytes], source: str) -> bytes:
    """Read all of a stream, but no more than one task may carry."""
    from lmx.workflows.submission import MAX_INPUT_BYTES

    content = stream.read(MAX_INPUT_BYTES + 1)
    if len(content) > MAX_INPUT_BYTES:
        raise TooLarge(
            f"{source} has more than {MAX_INPUT_BYTES >> 20} MiB, the most that one task may carry",
            hint="send a part of it, or its path to a worker function that reads it",
        )
    return content


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{source} is not UTF-8 text (byte {error.start} is not)",
            hint="convert it first, for example with iconv",
        ) from None
