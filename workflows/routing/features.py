"""What routing knows of a call: enough for rules to match it, and to replay them later."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from lmx.workflows.call_options import bytes_of
from lmx.workflows.errors import InvalidInput
from lmx.workflows.names import GENERATE
from lmx.workflows.providers.planning import estimated_tokens

#: The route of a call that names none.
DEFAULT_ROUTE: Final = "default"
MAX_LABELS: Final = 32
MAX_LABEL: Final = 200


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller says for the choice of a model.

    `labels` are names and values of the caller's own, for rules to look at. A `private` call stays
    on local models, whatever the rules say.
    """

    route: str = DEFAULT_ROUTE
    labels: Mapping[str, str] = field(default_factory=dict)
    private: bool = False

    def check(self) -> None:
        """Raise InvalidInput for what cannot be meant."""
        if not self.route or len(self.route) > MAX_LABEL:
            raise InvalidInput("a route is a name", hint="`lmx route list` shows them")
        if len(self.labels) > MAX_LABELS:
            raise InvalidInput(f"a call takes at most {MAX_LABELS} labels")
        for name, value in self.labels.items():
            if not isinstance(value, str) or not name.isidentifier() or len(value) > MAX_LABEL:
                raise InvalidInput(
                    f"{name!r}: {value!r} is not a label",
                    hint=f"write name=value: a plain word, and at most {MAX_LABEL} characters",
                )


@dataclass(frozen=True, slots=True)
class Features:
    """A call as rules see it.

    Sizes are of its text: `prompt_bytes`, and about as many tokens as `prompt_tokens`. `max_tokens`
    and `n_ctx` (the context of a local model) are 0 where the caller does not say. The switches
    tell what a model must be able to do; a `cheap` call may wait for a batch. `budget_usd` is what
    the call may cost at the most, `cost_usd` the least that any model could cost for it at the
    worst, both in dollars; None where there is no budget, or no such model. `failed` says where it
    has failed for good (`Option.place`), and why.
    """

    route: str = DEFAULT_ROUTE
    kind: str = GENERATE
    prompt_bytes: int = 0
    prompt_tokens: int = 0
    max_tokens: int = 0
    n_ctx: int = 0
    messages: int = 0
    tools: bool = False
    images: bool = False
    files: bool = False
    json_schema: bool = False
    grammar: bool = False
    thinking: bool = False
    private: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    in_run: bool = False
    cheap: bool = False
    budget_usd: float | None = None
    cost_usd: float | None = None
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """What a model must be able to do for this call, by the names of models.toml."""
        return tuple(name for name in NEEDS if getattr(self, name))

    def as_json(self) -> dict[str, Any]:
        """As a row of lmx.decisions keeps it; no failures are not worth a word."""
        return {key: value for key, value in asdict(self).items() if key != "failed" or value}


#: The features of models that calls can need.
NEEDS: Final = ("tools", "images", "files", "json_schema", "grammar", "thinking")
_NAMES: Final = frozenset(one.name for one in fields(Features))


def read_features(row: Mapping[str, Any]) -> Features:
    """The features of a recorded call; what a later version has added keeps its default."""
    return Features(**{name: value for name, value in row.items() if name in _NAMES})


def features_of(
    call: Mapping[str, Any],
    ask: Ask,
    *,
    max_tokens: int | None,
    priority: int,
    budget: int | None,
    in_run: bool = False,
    cheap: bool = False,
) -> Features:
    """The features of a checked call, whose budget is in nano-dollars."""
    size = bytes_of(call)
    parts = _parts(call)
    return Features(
        route=ask.route,
        prompt_bytes=size,
        prompt_tokens=estimated_tokens(size),
        max_tokens=max_tokens or 0,
        n_ctx=int(call.get("n_ctx") or 0),
        messages=len(call.get("messages", ())),
        tools=bool(call.get("tools")),
        images="image" in parts,
        files="file" in parts,
        json_schema="json_schema" in call,
        grammar="grammar" in call,
        thinking=bool(call.get("thinking") or call.get("reasoning_effort")),
        private=ask.private,
        labels=dict(ask.labels),
        priority=priority,
        in_run=in_run,
        cheap=cheap,
        budget_usd=None if budget is None else budget / 1e9,
    )


def _parts(call: Mapping[str, Any]) -> set[str]:
    """The types of the parts that its messages have."""
    return {
        str(part.get("type"))
        for message in call.get("messages", ())
        if isinstance(message.get("content"), list)
        for part in message["content"]
    }
