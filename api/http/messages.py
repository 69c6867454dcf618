"""The messages of a model call, as the API is sent them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class CalledFunction(BaseModel):
    """The function of a call, and its arguments in JSON."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: str = "{}"


class CalledTool(BaseModel):
    """A call that a model asked for."""

    model_config = ConfigDict(extra="forbid")

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction
    signature: str | None = Field(None, description="As the answer had it.")


Cache = Annotated[
    bool | Literal["1h"],
    Field(description="Ask the provider to keep all that comes before the end of this."),
]


class TextPart(BaseModel):
    """A part of a message that is text."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str
    cache: Cache | None = None


class SourcePart(BaseModel):
    """An image or a file of a message: exactly one of `data`, `url` and `sha256`.

    The API reads no files of this machine.
    """

    model_config = ConfigDict(extra="forbid")

    type: Literal["image", "file"]
    data: str | None = Field(None, description="The bytes, as base64.")
    url: str | None = Field(None, description="Where the provider finds it, or data:...;base64,")
    sha256: str | None = Field(None, description="A file that an earlier message has brought.")
    media_type: str | None = Field(None, description="Of what stands at the url.")
    name: str | None = None
    cache: Cache | None = None


class OpenAIPart(BaseModel):
    """An image or a file in OpenAI's words."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["image_url", "file"]
    image_url: dict[str, Any] | None = None
    file: dict[str, Any] | None = None


Part = TextPart | SourcePart | OpenAIPart


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[Part] | None = Field(
        None,
        description="Text, or parts: text, images, files; may be left out beside tool_calls.",
    )
    name: str | None = Field(None, description="Of the tool whose result this is.")
    tool_calls: list[CalledTool] | None = Field(
        None, description="The calls of an earlier answer, as they came."
    )
    tool_call_id: str | None = Field(None, description="The call whose result this is.")
    reasoning: str | None = Field(None, description="That of an earlier answer.")
    thinking_blocks: list[dict[str, str]] | None = Field(
        None, description="Those of an earlier answer, as they came."
    )
    cache: Cache | None = None
