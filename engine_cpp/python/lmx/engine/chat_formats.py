"""How a model's chat template writes a conversation, and how its answers are to be read.

llama.cpp's own chat library does both, in a child process: it knows the formats of many families of
models and finds out those of other templates. Without it, plain messages are rendered by jinja2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from lmx.engine import _core
from lmx.engine.chat import render_chat
from lmx.engine.child import Child, Overwhelmed
from lmx.engine.conversation import Conversation, conversation
from lmx.engine.errors import EngineError, InvalidRequest, ModelFileError
from lmx.engine.files import ModelInfo

_REFUSED = "Jinja Exception: "
_service = Child("lmx.engine.chat_service")


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """What a template made of a conversation: the prompt, and the form of its answer.

    ``prompt`` ends with ``opening``, the beginning of the answer. ``rules`` are the grammar of
    opening and tool calls; ``lazy`` where they hold only from one of the ``triggers`` on.
    ``preserved`` are control tokens that mark the answer's parts. ``parser`` reads the answer;
    without it the answer is text and nothing else.
    """

    prompt: str
    opening: str = ""
    rules: Any = None
    lazy: bool = False
    triggers: Sequence[str] = ()
    preserved: Sequence[str] = ()
    stops: Sequence[str] = ()
    reasoning_end: str = ""
    calls_tools: bool = False
    parser: Parser | None = None

    @property
    def begins_with_reasoning(self) -> bool:
        """Whether the prompt leaves the model in the middle of its reasoning."""
        return bool(self.reasoning_end)

    def constraint(self) -> _core.Constraint | None:
        """What holds a tool call to its form. Raises InvalidRequest."""
        if self.rules is None or (self.lazy and not self.triggers):
            return None
        grammar = _core.Grammar(self.rules)
        if self.lazy:
            return _core.Constraint(grammar, triggers=list(self.triggers))
        return _core.Constraint(grammar, prefix=self.opening)


@dataclass(frozen=True, slots=True)
class Parser:
    """Reads the answers of one format, in which ``marks`` stand between the parts."""

    kind: int
    source: str
    opening: str
    key: str
    marks: tuple[str, ...] = ()

    def read(self, answer: str, *, partial: bool) -> dict[str, Any] | None:
        """Text, reasoning and tool calls; None when the answer does not follow the format."""
        question = {
            "do": "parse",
            "kind": self.kind,
            "parser": None,
            "key": self.key,
            "generation_prompt": self.opening,
            "text": answer,
            "partial": partial,
        }
        try:
            parsed = _service.ask(question)
            if "unknown" in parsed:
                parsed = _service.ask(question | {"parser": self.source})
        except EngineError:  # an answer of a model may be anything
            return None
        if "error" in parsed:
            return None
        if parsed["reasoning"]:  # the line ends that part the two belong to neither
            parsed["text"] = parsed["text"].lstrip("\r\n")
        return parsed


def close_service() -> None:
    """Ends the child process; the next conversation starts another."""
    _service.close()


def is_available() -> bool:
    """Whether llama.cpp's chat library was there when the engine was built."""
    return find_spec("lmx.engine._chat") is not None


@dataclass(frozen=True, slots=True)
class ChatFeatures:
    """What a model's chat template can do."""

    tools: bool = False
    reasoning: bool = False


def chat_features(info: ModelInfo) -> ChatFeatures:
    """What the template of this model can do; nothing where it has none or it is broken."""
    if info.chat_template is None or not is_available():
        return ChatFeatures()
    try:
        answer = _ask_to_apply(info, conversation([{"role": "user", "content": "Hello"}]))
    except EngineError:
        return ChatFeatures()
    return ChatFeatures(bool(answer.get("calls_tools")), bool(answer.get("thinks")))


def format_chat(info: ModelInfo, chat: Conversation) -> ChatFormat:
    """The prompt for a conversation, by the template that the model file carries.

    Raises InvalidRequest when the template refuses it or knows no tools, ModelFileError when there
    is no template or it is broken.
    """
    if info.chat_template is None:
        raise ModelFileError(
            f"{info.path}: carries no chat template; use prompt= instead of messages="
        )
    if not is_available():
        return _without_library(info, chat)
    try:
        answer = _ask_to_apply(info, chat)
    except Overwhelmed:
        raise InvalidRequest(
            f"{info.path}: its chat template takes too long or crashes with these messages; "
            "use prompt= instead of messages="
        ) from None
    if "error" in answer:
        return _failed(info, chat, str(answer["error"]))
    return _format(info, chat, answer)


def _ask_to_apply(info: ModelInfo, chat: Conversation) -> dict[str, Any]:
    return _service.ask(
        {
            "do": "apply",
            "template": info.chat_template,
            "bos": info.bos,
            "eos": info.eos,
            "conversation": asdict(chat),
        }
    )


def _failed(info: ModelInfo, chat: Conversation, reason: str) -> ChatFormat:
    _, refused, said = reason.partition(_REFUSED)
    if refused:
        complaint = said.partition("\n")[0]
        raise InvalidRequest(f"the model's chat template refuses the messages: {complaint}")
    if chat.calls_tools or chat.has_tool_messages:
        raise InvalidRequest(
            f"{info.path}: its chat template cannot be used with tools: "
            + " ".join(reason.split())[-300:]
        )
    return _without_library(info, chat)


def _format(info: ModelInfo, chat: Conversation, answer: dict[str, Any]) -> ChatFormat:
    must_call = chat.tool_choice == "required"
    if chat.calls_tools and not answer["calls_tools"]:
        raise InvalidRequest(f"{info.path}: its chat template knows no tools; leave out tools=")
    if must_call and answer["rules"] is None:
        raise InvalidRequest(
            f"{info.path}: no call can be enforced by its chat template; use tool_choice='auto'"
        )
    prompt = str(answer["prompt"])
    if info.adds_bos and info.bos:
        prompt = prompt.removeprefix(info.bos)
    opening, start = answer["generation_prompt"], answer["thinking_start"]
    is_open = bool(start) and opening.rstrip().endswith(start)
    ends = answer["thinking_ends"]
    parser = None
    if answer["parser"] and (answer["thinks"] or chat.calls_tools):
        key = hashlib.sha256(f"{answer['kind']}\0{opening}\0{answer['parser']}".encode())
        marks = (start, *ends, *answer["preserved"], *answer["stops"])
        parser = Parser(answer["kind"], answer["parser"], opening, key.hexdigest(), marks)
    return ChatFormat(
        prompt,
        opening,
        answer["rules"],
        answer["lazy"],
        answer["triggers"],
        answer["preserved"] if parser else (),
        answer["stops"],
        ends[0].strip() if is_open and ends else "",
        chat.calls_tools,
        parser,
    )


def _without_library(info: ModelInfo, chat: Conversation) -> ChatFormat:
    """Plain messages through jinja2. Raises InvalidRequest for tools."""
    if chat.calls_tools:
        raise InvalidRequest(
            "tools need libllama-common, which is not installed beside llama-cpp-python"
        )
    assert info.chat_template is not None
    plain = [{"role": m["role"], "content": m["content"]} for m in chat.messages]
    return ChatFormat(
        render_chat(
            info.chat_template,
            plain,
            bos=info.bos,
            eos=info.eos,
            adds_bos=info.adds_bos,
            model=info.path,
        )
    )
