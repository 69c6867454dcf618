"""Circuit breakers: a pool whose provider refuses or fails is left alone for a while.

    closed --failures--> open(kind, until) --time--> half open: one probe --success--> closed
                          ^                                        |
                          +----------------- failure --------------+

Overload, server errors, billing, a spend cap and bad credentials differ in how many failures open
the breaker and for how long. A deadline is never shortened by a later, shorter one.

Answers that somebody rejects count in a second breaker of the pool, of the kind `quality`. While it
is open routes choose other models; calls that name the model still go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: The JSON of a breaker; `{}` is closed.
Breaker = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """Opens after `failures` in a row for `first_s`, doubled by a failed probe to `longest_s`.

    `says` tells a person what has happened.
    """

    failures: int
    first_s: float
    longest_s: float
    says: str


#: The causes for which a breaker opens. `spend_cap` has a deadline of its own, given with it.
RULES: Final[Mapping[str, Rule]] = {
    "overload": Rule(failures=2, first_s=5.0, longest_s=300.0, says="the provider is overloaded"),
    "server": Rule(
        failures=5, first_s=10.0, longest_s=300.0, says="the provider fails or cannot be reached"
    ),
    "billing": Rule(
        failures=1, first_s=600.0, longest_s=3600.0, says="the provider wants to be paid first"
    ),
    "spend_cap": Rule(
        failures=1, first_s=600.0, longest_s=3600.0, says="the account has spent what it may"
    ),
    "credentials": Rule(
        failures=1, first_s=60.0, longest_s=900.0, says="the provider refuses the key"
    ),
    "quality": Rule(failures=3, first_s=300.0, longest_s=3600.0, says="answers were rejected"),
}
#: A probe that nobody has heard of again for so long is given up, and another one is sent.
PROBE_PATIENCE_S: Final = 900.0


def phase(state: Breaker, now: float) -> str:
    """`closed`, `open` or `half_open`."""
    if "until" not in state:
        return "closed"
    return "open" if state["until"] > now else "half_open"


def wait(state: Breaker, now: float) -> float:
    """Seconds until a call may start: 0 if one may now."""
    match phase(state, now):
        case "closed":
            return 0.0
        case "open":
            return float(state["until"] - now)
        case _:
            probing = state.get("probe_at", now - PROBE_PATIENCE_S)
            return max(0.0, float(probing) + PROBE_PATIENCE_S - now)


def at_most(state: Breaker, now: float) -> int | None:
    """How many calls may start now: None is any number, 1 is a probe."""
    if wait(state, now) > 0:
        return 0
    return None if phase(state, now) == "closed" else 1


def probing(state: Breaker, now: float, task_id: int) -> Breaker:
    """The call that is sent as the probe; only while half open."""
    return {**state, "probe": task_id, "probe_at": now}


def failed(
    state: Breaker, now: float, kind: str, task_id: int | None = None, until: float | None = None
) -> Breaker:
    """A call failed for `kind`, a key of RULES; `until` is the provider's own deadline, if any."""
    rule = RULES[kind]
    in_a_row = state.get("in_a_row", 0) + 1 if state.get("kind", kind) == kind else 1
    counted = {**state, "kind": kind, "in_a_row": in_a_row}
    is_probe = "until" in state and task_id is not None and task_id == state.get("probe")
    if phase(state, now) == "closed" and in_a_row < rule.failures and until is None:
        return counted
    opened = state.get("opened", 0) + (1 if is_probe or "until" not in state else 0)
    pause = min(rule.longest_s, rule.first_s * 2.0 ** max(0, opened - 1))
    deadline = max(until or now + pause, state.get("until", 0.0))
    kept = {key: value for key, value in counted.items() if key not in ("probe", "probe_at")}
    return {**(kept if is_probe else counted), "until": deadline, "opened": opened}


def succeeded(state: Breaker, task_id: int | None = None) -> Breaker:
    """A call went well: the count starts anew. Only the probe closes an open breaker."""
    if "until" not in state or task_id == state.get("probe"):
        return {}
    return state


def earlier(state: Breaker, seconds: float) -> Breaker:
    """The breaker as if all had happened so much earlier."""
    times = {key: state[key] - seconds for key in ("until", "probe_at") if key in state}
    return {**state, **times}


def over(state: Breaker, task_id: int | None) -> Breaker:
    """Nothing more will be heard of a call: if it is still the probe, another one may go."""
    if task_id is None or task_id != state.get("probe"):
        return state
    return {key: value for key, value in state.items() if key not in ("probe", "probe_at")}


def judged(state: Breaker, now: float, task_id: int | None, *, accepted: bool) -> Breaker:
    """Somebody has judged an answer. Once half open, the next verdict closes or opens it again."""
    if phase(state, now) == "half_open":
        state = {**state, "probe": task_id}
    return succeeded(state, task_id) if accepted else failed(state, now, "quality", task_id)
