"""A model's answer taken apart while it comes: its text, its reasoning, its tool calls."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmx.engine.chat_formats import Parser

_SHARE = 4  # reading again takes at most one part in so many of the time


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for. ``arguments`` is a JSON object, as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What has come since the last: text to show, reasoning, and, at the end, tool calls."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. What cannot be read as calls or reasoning is text: nothing is lost."""

    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def read_answer(parser: Parser, raw: str, salt: str = "") -> Answer:
    """Takes an ended answer apart. ``salt`` makes the ids of its calls different elsewhere."""
    parsed = parser.read(raw, partial=False)
    if parsed is not None:
        calls = [_call(call, index, raw + salt) for index, call in enumerate(parsed["tool_calls"])]
        known = tuple(call for call in calls if call is not None)
        if calls and len(known) == len(calls):
            return Answer(parsed["text"], parsed["reasoning"], known)
    begun = parser.read(raw, partial=True) or {"text": "", "reasoning": ""}
    text, reasoning = str(begun["text"]), str(begun["reasoning"])
    rest = _rest(raw, reasoning, text)
    if rest is None:  # the library has changed some of it
        return Answer(text, reasoning) if parsed is not None else Answer(raw)
    return Answer(text + rest if _says_something(parser, rest) else text, reasoning)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answer to one request is read. ``count`` gives the tokens of a text."""

    parser: Parser
    salt: str
    count: Callable[[str], int]

    def follow(self) -> AnswerReader:
        return AnswerReader(self.parser, self.salt)

    def whole(self, raw: str) -> Answer:
        return read_answer(self.parser, raw, self.salt)


class AnswerReader:
    """Follows an answer piece by piece. No part of a tool call, begun or half, is shown as text."""

    def __init__(self, parser: Parser, salt: str = "") -> None:
        self._parser = parser
        self._salt = salt
        self._lock = threading.Lock()
        self._raw = ""
        self._text = ""
        self._reasoning = ""
        self._not_before = 0.0

    def feed(self, piece: str) -> Delta:
        """The text and reasoning that are certain by now and were not given yet."""
        with self._lock:
            self._raw += piece
            began = time.monotonic()
            if began < self._not_before:
                return Delta()
            parsed = self._parser.read(self._raw, partial=True)
            now = time.monotonic()
            self._not_before = now + _SHARE * (now - began)
            if parsed is None:
                return Delta()
            return self._advance(parsed["text"], parsed["reasoning"])

    def finish(self) -> Delta:
        """The rest, with the tool calls."""
        with self._lock:
            answer = read_answer(self._parser, self._raw, self._salt)
            goes_on = answer.text.startswith(self._text)
            if goes_on and answer.reasoning.startswith(self._reasoning):
                rest = self._advance(answer.text, answer.reasoning)
                return Delta(rest.text, rest.reasoning, answer.tool_calls)
            left = _rest(self._raw, self._reasoning, self._text)
            return Delta(self._raw if left is None else left)

    def _advance(self, text: str, reasoning: str) -> Delta:
        """What these add to what was given; nothing where they do not go on from it."""
        if not text.startswith(self._text) or not reasoning.startswith(self._reasoning):
            return Delta()
        delta = Delta(text[len(self._text) :], reasoning[len(self._reasoning) :])
        self._text, self._reasoning = text, reasoning
        return delta


def _call(parsed: list[Any], index: int, source: str) -> ToolCall | None:
    """The call, with an id of nine letters where the format has none; None for half a call."""
    given, name, arguments = parsed
    arguments = arguments.strip() or "{}"
    try:
        whole = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole or not name:
        return None
    made = hashlib.sha256(f"{index}\0{source}".encode()).hexdigest()[:9]
    return ToolCall(given or made, name, arguments)


def _says_something(parser: Parser, rest: str) -> bool:
    """Whether there is more in it than white space and what marks the parts of an answer."""
    for mark in sorted(parser.marks, key=len, reverse=True):
        rest = rest.replace(mark.strip(), "") if mark.strip() else rest
    return bool(rest.strip())


def _rest(raw: str, reasoning: str, text: str) -> str | None:
    """What of an answer comes behind these parts of it; None where they are not found."""
    at = 0
    for part in (reasoning, text):
        found = raw.find(part, at)
        if found < 0:
            return None
        at = found + len(part)
    return raw[at:]
