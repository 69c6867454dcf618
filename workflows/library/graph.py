"""A run given as data: tasks, what each needs first, and the answers of those passed on.

    {"nodes": {"draft":  {"generate": {"model": "small", "prompt": "Write a haiku"}},
               "review": {"generate": {"model": "small", "prompt": "Improve: {draft.text}"},
                          "after": ["draft"]}}}

A node is either a `generate` (a call of a `model`, or of one that a `route` chooses) or a
`function` with `args` and `kwargs`. In the texts of a node `{name}` stands for the result of a node
named in `after`, `{name.field}` for a field of it. The run's result is the results of all nodes by
name.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from lmx.workflows.coordinators import Child, Context
from lmx.workflows.errors import InvalidInput
from lmx.workflows.registry import coordinator

_PLACE: Final = re.compile(r"\{([A-Za-z_][\w-]*)(?:\.([A-Za-z_]\w*))?\}")
_NODE_KEYS: Final = frozenset({"generate", "function", "args", "kwargs", "after", "priority"})


@coordinator(name="graph")
def graph(ctx: Context, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Run a graph of tasks: each as soon as those it comes after have finished."""
    check(nodes)
    results: dict[str, Any] = {}
    running: dict[str, Child[Any]] = {}
    while len(results) < len(nodes):
        for name, node in nodes.items():
            if name not in results and name not in running:
                after = node.get("after", ())
                if all(earlier in results for earlier in after):
                    running[name] = _start(ctx, name, node, {a: results[a] for a in after})
        done = ctx.first(*running.values())
        name = next(name for name, child in running.items() if child is done)
        del running[name]
        results[name] = ctx.gather(done)[0]
    return {name: results[name] for name in nodes}


def check(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InvalidInput, naming the node, for a graph that cannot be run."""
    if not isinstance(nodes, Mapping):
        raise InvalidInput("the nodes of a graph are an object: names and what each node does")
    if not nodes:
        raise InvalidInput("the graph has no nodes")
    for name, node in nodes.items():
        _check_shape(name, node)
        if unknown := set(node) - _NODE_KEYS:
            raise InvalidInput(f"node {name!r} has unknown keys: {', '.join(sorted(unknown))}")
        if ("generate" in node) == ("function" in node):
            raise InvalidInput(f"node {name!r} needs either 'generate' or 'function'")
        for earlier in node.get("after", ()):
            if earlier not in nodes:
                raise InvalidInput(f"node {name!r} comes after {earlier!r}, which does not exist")
    _check_order(nodes)


def _check_shape(name: str, node: Mapping[str, Any]) -> None:
    if not isinstance(node, Mapping):
        raise InvalidInput(f"node {name!r} is no object")
    for key, expected, what in (
        ("after", list, "list"),
        ("args", list, "list"),
        ("kwargs", Mapping, "object"),
        ("generate", Mapping, "object"),
        ("function", str, "text"),
    ):
        if key in node and not isinstance(node[key], expected):
            raise InvalidInput(f"{key!r} of node {name!r} is no {what}")


def _check_order(nodes: Mapping[str, Mapping[str, Any]]) -> None:
    placed: set[str] = set()
    while len(placed) < len(nodes):
        free = {n for n, node in nodes.items() if placed.issuperset(node.get("after", ()))}
        if free == placed:
            stuck = ", ".join(sorted(set(nodes) - placed))
            raise InvalidInput(f"the graph has a cycle among these nodes: {stuck}")
        placed = free


def _start(
    ctx: Context, name: str, node: Mapping[str, Any], results: Mapping[str, Any]
) -> Child[Any]:
    priority = node.get("priority", 0)
    if "generate" in node:
        call = _fill(node["generate"], results)
        return ctx.generate(key=name, priority=priority, **call)
    args = _fill(node.get("args", []), results)
    kwargs = _fill(node.get("kwargs", {}), results)
    return ctx.spawn(node["function"], *args, key=name, priority=priority, **kwargs)


def _fill(value: Any, results: Mapping[str, Any]) -> Any:
    """Replace the places in all texts of `value`; a text that is one place becomes its value."""
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole and whole[1] in results:
            return _result(whole, results)
        return _PLACE.sub(lambda m: str(_result(m, results)) if m[1] in results else m[0], value)
    if isinstance(value, Mapping):
        return {key: _fill(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, results) for item in value]
    return value


def _result(place: re.Match[str], results: Mapping[str, Any]) -> Any:
    result = results[place[1]]
    if place[2] is None:
        return result
    if not isinstance(result, Mapping) or place[2] not in result:
        raise InvalidInput(f"the result of node {place[1]!r} has no field {place[2]!r}")
    return result[place[2]]
