"""The decision itself: which of the models that can be called takes a call, and why not others.

Pure: the same features, rules and options give the same decision.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import inf
from typing import Final

from lmx.workflows.errors import Refused
from lmx.workflows.money import format_usd
from lmx.workflows.routing.features import Features
from lmx.workflows.routing.rules import Rule, Rules, Terms

#: In a rule's models: all local models that generate, and those whose name matches what follows.
LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class Option:
    """A model that can be called now, in one of its pools, as far as one call is concerned.

    `cost` is the most that the call can cost, in nano-dollars. `wait_s` and `waits_for` are how
    long it would wait, at least, and for what. `rejected` tells of answers that somebody was not
    content with; `avoid` says why others should rather be taken, and `refused` why it cannot be
    taken at all. A local model has no pool.
    """

    model: str
    queue: str
    local: bool = False
    pool_id: int | None = None
    pool: str | None = None
    context: int = 0
    max_output: int = 0
    features: frozenset[str] = frozenset()
    cost: int = 0
    wait_s: float = 0.0
    waits_for: str | None = None
    attended: bool = True
    rejected: str | None = None
    avoid: str | None = None
    refused: str | None = None

    @property
    def place(self) -> str:
        """The model and its pool: "claude-haiku-5-5 anthropic/default/haiku"."""
        return self.model if self.pool is None else f"{self.model} {self.pool}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An option as it was judged: `chosen`, `in`, `passed over` (for now) or `out`, and why."""

    model: str
    pool: str | None
    verdict: str
    reason: str
    cost: int | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a call by a rule, from its candidates in their order."""

    features: Features
    rule: str
    terms: Terms
    models: tuple[str, ...]
    version: str
    candidates: tuple[Candidate, ...]
    chosen: Option | None

    @property
    def why(self) -> str:
        """The reason in a few words."""
        taken = next((one for one in self.candidates if one.verdict == "chosen"), None)
        return taken.reason if taken else "no model can take it"

    def required(self) -> Option:
        """The option chosen. Raises NobodyCan if there is none."""
        if self.chosen is None:
            raise NobodyCan(self)
        return self.chosen


class NobodyCan(Refused):
    """No candidate can take the call: its message has the reason of each."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        each = (f"{one.model}: {one.reason}" for one in decision.candidates)
        reasons = "; ".join(dict.fromkeys(each))  # one for all accounts, where they agree
        super().__init__(
            f"no model can take this call by the rule {decision.rule!r}: {reasons}",
            hint="`lmx route explain` shows all candidates",
        )


def decide(features: Features, rules: Rules, options: Sequence[Option]) -> Decision:
    """Decide by the first rule that matches. Raises NotFound for an unknown route."""
    least = min((one.cost for one in options if _hard(features, one) is None), default=None)
    known = replace(features, cost_usd=None if least is None else least / 1e9)
    rule = rules.match(known)
    return choose(known, rule, options, rules.version)


def choose(features: Features, rule: Rule, options: Sequence[Option], version: str) -> Decision:
    """Decide by this rule.

    Of the candidates that can take the call the first is taken that need not be passed over, or
    else the one with the shortest wait.
    """
    candidates = _candidates(rule, options)
    judged = [(one, _out(features, rule.terms, one)) for one in candidates]
    able = _ordered([one for one, out in judged if out is None], rule.terms.order)
    chosen = _best(able, rule.terms)
    rows = [_judged(one, chosen, rule.terms) for one in able]
    rows += [
        Candidate(one.model, one.pool, "out", out, one.cost, one.wait_s)
        for one, out in judged
        if out is not None
    ]
    rows += [
        Candidate(name, None, "out", _absent(name))
        for name in rule.models
        if not any(matching(name, one) for one in options)
    ]
    return Decision(features, rule.name, rule.terms, rule.models, version, tuple(rows), chosen)


def soft_reason(option: Option, terms: Terms) -> str | None:
    """Why an option should be passed over for now, by a rule's terms; None: it need not be."""
    if not option.attended:
        return "no worker serves its queue now"
    if option.rejected:
        return option.rejected
    if not terms.divert:
        return None
    if option.avoid:
        return option.avoid
    if option.wait_s > terms.max_wait_s:
        return f"a wait of {_seconds(option.wait_s)} ({option.waits_for})"
    return None


def matching(pattern: str, option: Option) -> bool:
    """Whether a name in a rule's models stands for an option."""
    if pattern == LOCAL:
        return option.local
    if pattern.startswith(f"{LOCAL}:"):
        return option.local and fnmatchcase(option.model, pattern.partition(":")[2])
    return fnmatchcase(option.model, pattern)


def _absent(name: str) -> str:
    if name == LOCAL:
        return "no local model is registered"
    if name.startswith(f"{LOCAL}:") or any(sign in name for sign in "*?["):
        return "no model that can be called has such a name"
    return "it cannot be called: no worker has served it (has its provider a key?)"


def _candidates(rule: Rule, options: Sequence[Option]) -> list[Option]:
    """The options that the rule names, each once; those of one name by price, wait and size."""
    found: dict[tuple[str, int | None], Option] = {}
    for pattern in rule.models:
        named = [one for one in options if matching(pattern, one)]
        for one in sorted(named, key=lambda one: (one.cost, one.wait_s, one.model)):
            found.setdefault((one.model, one.pool_id), one)
    return list(found.values())


def _ordered(options: list[Option], order: str) -> list[Option]:
    """Options in the rule's order; what ties stays as it was listed."""
    if order == "price":
        return sorted(options, key=lambda one: one.cost)
    if order == "wait":
        return sorted(options, key=lambda one: one.wait_s)
    return options


def _best(able: Sequence[Option], terms: Terms) -> Option | None:
    ready = [one for one in able if soft_reason(one, terms) is None]
    if ready:
        return ready[0]
    # Nothing can be had as the rule wants it: the call waits where it waits least.
    return min(able, key=_last_resort, default=None)


def _last_resort(one: Option) -> tuple[bool, bool, float]:
    return not one.attended, one.rejected is not None, one.wait_s


def _judged(one: Option, chosen: Option | None, terms: Terms) -> Candidate:
    soft = soft_reason(one, terms)
    if one is chosen:
        reason = (
            "the first that can take it" if soft is None else f"nothing better for now, with {soft}"
        )
        if soft is None and terms.order != "listed":
            reason = f"the least by {terms.order} that can take it"
        return Candidate(one.model, one.pool, "chosen", reason, one.cost, one.wait_s)
    if soft is not None:
        return Candidate(one.model, one.pool, "passed over", soft, one.cost, one.wait_s)
    waits = f", after a wait of {_seconds(one.wait_s)}" if one.wait_s > 0 else ""
    return Candidate(one.model, one.pool, "in", f"it could{waits}", one.cost, one.wait_s)


def _out(features: Features, terms: Terms, option: Option) -> str | None:
    """Why an option cannot take the call at all; None: it can."""
    if reason := _hard(features, option):
        return reason
    if terms.max_cost is not None and option.cost > terms.max_cost:
        worst, most = format_usd(option.cost), format_usd(terms.max_cost)
        return f"it can cost {worst}, more than the rule's {most}"
    return None


def _hard(features: Features, option: Option) -> str | None:
    if features.private and not option.local:
        return "the call is private, and this is no local model"
    if option.refused:
        return option.refused
    if because := features.failed.get(option.place):
        return f"it has failed: {because}"
    lacks = [need for need in features.needs if need not in option.features]
    if lacks:
        return f"it lacks {', '.join(lacks)}"
    if features.max_tokens > option.max_output:
        return f"it answers with at most {option.max_output} tokens"
    if features.prompt_tokens + features.max_tokens > option.context:
        size = features.prompt_tokens + features.max_tokens
        return f"its context of {option.context} tokens is too small for about {size}"
    if features.budget_usd is not None and option.cost > round(features.budget_usd * 1e9):
        return f"it can cost {format_usd(option.cost)}, more than the budget"
    return None


def _seconds(seconds: float) -> str:
    if seconds == inf:
        return "unknown length"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def without(options: Iterable[Option], refused: Option, reason: str) -> list[Option]:
    """The options, with one of them refused for a reason that came up later."""
    return [replace(one, refused=reason) if one is refused else one for one in options]
