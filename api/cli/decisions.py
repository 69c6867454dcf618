"""Decisions of routes in words and tables, for `lmx route` and `lmx enqueue --explain`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lmx.api.cli.output import clock, duration, note, print_table, write, write_json
from lmx.workflows.errors import InvalidInput
from lmx.workflows.money import format_usd

if TYPE_CHECKING:
    from lmx.workflows.routing.decide import Decision
    from lmx.workflows.routing.records import Recorded

_COLUMNS = ("model", "pool", "", "at most", "wait", "why")


def parse_labels(words: Sequence[str]) -> dict[str, str]:
    """Read --label NAME=VALUE. Raises InvalidInput."""
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput(f"--label is {word!r}", hint="write it as NAME=VALUE: team=search")
        labels[name] = value
    return labels


def print_decision(decision: "Decision", *, as_json: bool) -> None:
    """Tell what would be decided now, with every candidate."""
    candidates = [asdict(one) for one in decision.candidates]
    chosen = decision.chosen.model if decision.chosen else None
    if as_json:
        shown = {
            "route": decision.features.route,
            "rule": decision.rule,
            "rules_version": decision.version,
            "chosen": chosen,
            "why": decision.why,
            "candidates": candidates,
            "features": decision.features.as_json(),
        }
        write_json(shown)
        return
    write(f"{chosen or 'nothing'}: {decision.why}, by the rule {decision.rule!r}")
    print_candidates(candidates)


def print_recorded(found: Sequence["Recorded"], *, as_json: bool) -> None:
    """Tell what was decided for a call, and what again when it was moved."""
    if as_json:
        write_json(found)
        return
    for one in found:
        rule = f"route {one.route!r}, rule {one.rule!r}, rules {one.rules_version}"
        write(f"{clock(one.at)}  {one.reason}: {one.model}: {one.why} ({rule})")
        print_candidates(one.candidates)


def print_candidates(candidates: Sequence[Mapping[str, Any]]) -> None:
    """A line for each candidate: what it is, and why in or out."""
    print_table(_COLUMNS, [_row(one) for one in candidates])
    if not candidates:
        note("no model is known: run `lmx up` with a provider's key, or `lmx models add FILE.gguf`")


def _row(one: Mapping[str, Any]) -> list[str]:
    cost, wait = one["cost"], one["wait_s"]
    return [
        one["model"],
        one["pool"] or "",
        one["verdict"],
        "" if cost is None else format_usd(cost),
        duration(wait) if wait else "",
        one["reason"],
    ]
