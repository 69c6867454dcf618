"""What the API is sent."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from lmx.api.http.amounts import Budget
from lmx.api.http.messages import Message
from lmx.api.http.text import reject_unstorable
from lmx.workflows.control.judging import MAX_REASON
from lmx.workflows.submission import MAX_PRIORITY, MAX_SECONDS

Name = Annotated[str, Field(min_length=1, max_length=200)]
Priority = Annotated[
    int,
    Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher is sooner."),
]
Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS)]
Delay = Annotated[float, Field(ge=0, le=MAX_SECONDS, description="Seconds before it may start.")]
Timeout = Annotated[
    float,
    Field(gt=0, le=MAX_SECONDS, description="Seconds from now within which it must have ended."),
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, body: Any) -> Any:
        return reject_unstorable(body)


class FunctionTask(_Request):
    """A task that runs a registered worker function."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"function": "count_words", "args": ["a text"]}]}
    )

    function: Name = Field(description="The name of the function.")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: Name | None = Field(None, description="Another queue than the function's own.")
    priority: Priority = 0
    delay: Delay | None = None
    max_attempts: int | None = Field(None, ge=1, le=1000)
    time_limit: float | None = Field(
        None, ge=0.001, le=2_000_000, description="Seconds that one attempt may take."
    )
    timeout: Timeout | None = None
    budget: Budget | None = None


_NOT_SAMPLING = (
    *("model", "route", "labels", "private", "prompt", "messages", "max_tokens"),
    *("priority", "timeout", "budget", "when"),
)


class ModelCall(_Request):
    """A task that calls a model, named or chosen by a route, with a prompt or with messages."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "smollm2",
                    "messages": [{"role": "user", "content": "Say hello."}],
                    "max_tokens": 64,
                    "budget": {"usd": "0.05"},
                }
            ]
        }
    )

    model: Name | None = Field(None, description="The name of a model, local or in the cloud.")
    route: Name | None = Field(
        None, description="Or the name of a route, which chooses a model (GET /v1/routes)."
    )
    labels: dict[str, str] = Field(
        {}, max_length=32, description="Names and values of your own, for the route's rules."
    )
    private: bool = Field(False, description="Only local models may see it.")
    prompt: str | None = Field(None, description="Text to continue, as it is.")
    messages: list[Message] | None = Field(
        None, description="A conversation, for the model's own chat template."
    )
    max_tokens: int | None = Field(
        None, ge=1, le=2**24, description="By default 512, or half of a shorter context."
    )
    n_ctx: int | None = Field(None, ge=8, le=2**24, description="Context length in tokens.")
    kv_type: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"] | None = Field(
        None, description="What a local model's KV cache is kept as; q8_0 takes half of f16."
    )
    mode: Literal["throughput", "deterministic"] | None = Field(
        None, description="deterministic: a local model's answer has the same bits at each asking."
    )
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1)
    typical_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, ge=0.01, le=10)
    penalty_last_n: int | None = Field(None, ge=-1, le=1_000_000)
    presence_penalty: float | None = Field(None, ge=-10, le=10)
    frequency_penalty: float | None = Field(None, ge=-10, le=10)
    top_n_sigma: float | None = Field(None, ge=0, le=1000)
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1)
    dry_multiplier: float | None = Field(None, ge=0, le=100)
    dry_base: float | None = Field(None, ge=1, le=100)
    dry_allowed_length: int | None = Field(None, ge=0, le=1_000_000)
    dry_penalty_last_n: int | None = Field(None, ge=-1, le=1_000_000)
    dry_breakers: list[Annotated[str, Field(min_length=1)]] | None = Field(None, max_length=32)
    seed: int | None = Field(None, ge=0, lt=2**32 - 1)
    stop: list[Annotated[str, Field(min_length=1)]] | None = Field(None, max_length=64)
    logit_bias: dict[str, float] | None = Field(
        None, description="Added to the logits of tokens, by their ids."
    )
    grammar: str | None = Field(None, description="The answer follows it; in GBNF.")
    json_schema: dict[str, Any] | None = Field(
        None, description="The answer is JSON of this schema, unless max_tokens cuts it short."
    )
    tools: list[dict[str, Any]] | None = Field(
        None,
        max_length=128,
        description="Functions that the model may call, in OpenAI's form.",
        examples=[
            [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]
        ],
    )
    tool_choice: str | dict[str, Any] | None = Field(
        None, description="auto, none, required, or one of the tools."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Whether an answer may have several calls; the template's own default."
    )
    thinking: bool | Annotated[int, Field(ge=128)] | None = Field(
        None,
        description="False asks for an answer without reasoning, a number bounds its tokens.",
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        Field(None, description="How much a cloud model may think.")
    )
    template_options: dict[str, Any] | None = Field(
        None, description="Other variables of the model's chat template."
    )
    logprobs: int | None = Field(
        None, ge=0, le=20, description="Tell the probability of each token and of so many others."
    )
    session: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="The conversation that this continues: its beginning is not computed again.",
    )
    priority: Priority = 0
    timeout: Timeout | None = None
    budget: Budget | None = None
    when: Literal["cheap"] | None = Field(
        None, description="In a batch, within a day, for less; without batches: after all others."
    )

    @model_validator(mode="after")
    def _one_text(self) -> "ModelCall":
        if self.model is not None and (self.route is not None or self.labels):
            raise ValueError("give either a model or a route (with labels)")
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either a prompt or messages")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("the prompt is empty")
        return self

    def sampling(self) -> dict[str, Any]:
        """Return the options that were given, as `Client.generate` takes them."""
        return self.model_dump(exclude=set(_NOT_SAMPLING), exclude_none=True)


class EmbeddingCall(_Request):
    """A task that turns texts into vectors, by a local model."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "minilm", "texts": ["the sky is blue"]}]}
    )

    model: Name = Field(description="The name of a registered model.")
    texts: list[str] = Field(min_length=1, max_length=256)
    normalize: bool = Field(True, description="Vectors of length 1.")
    pooling: Literal["mean", "cls", "last"] | None = Field(
        None, description="One vector of those of the tokens; the model's own way by default."
    )
    n_ctx: int | None = Field(None, ge=1, le=2**24, description="Tokens of a text; 512.")
    truncate: bool = Field(False, description="Cut texts that are too long instead of failing.")
    priority: Priority = 0
    timeout: Timeout | None = None
    budget: Budget | None = None


def _kind(body: Any) -> str:
    if (isinstance(body, dict) and "texts" in body) or isinstance(body, EmbeddingCall):
        return "embedding"
    if isinstance(body, ModelCall):
        return "model"
    given = body if isinstance(body, dict) else {}
    named = any(given.get(name) not in (None, False) for name in ("model", "route", "private"))
    return "model" if named else "function"


TaskRequest = Annotated[
    Annotated[FunctionTask, Tag("function")]
    | Annotated[ModelCall, Tag("model")]
    | Annotated[EmbeddingCall, Tag("embedding")],
    Discriminator(_kind),
]


class RunRequest(_Request):
    """A run of a registered workflow, with what its whole tree may spend."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"workflow": "review", "args": ["paper.md"], "budget": {"usd": "0.50"}},
            ]
        }
    )

    workflow: Name = Field(description="The name of the coordinator.")
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    budget: Budget | None = None
    weight: float = Field(1.0, ge=0.001, le=1_000_000, description="Its share of every queue.")
    nesting: int = Field(
        0, ge=0, le=100, description="Levels of coordinators that it may have beneath its root."
    )
    priority: Priority = 0
    delay: Delay | None = None
    timeout: Timeout | None = None


class VerdictRequest(_Request):
    """What the asker says of a model's answer."""

    accepted: bool = Field(description="Whether the answer was good.")
    reason: str = Field("", max_length=MAX_REASON, description="What was wrong with it.")


class SignalRequest(_Request):
    """A message for a coordinator that waits for it by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"payload": {"approved": True}}]})

    payload: Any = None
