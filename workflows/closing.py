"""The order in which the budgets of finished tasks close.

A budget closes once: its task has finished, nothing is held, and every child's budget has closed.
Only then does what it spent move into its parent's row, so a coordinator that ends before its
children keeps its budget open until the last of them has ended. One statement must not change a
row twice, so the budgets of one transaction close level by level, the deepest first.
"""

from collections.abc import Iterable


def closing_rounds(tasks: Iterable[tuple[int, int | None]]) -> list[list[int]]:
    """Group the ids of (id, parent id) pairs into rounds, children before their parents.

    The last round holds the parents that are not among the ids: they may have waited for these.
    A parent's id is smaller than its children's.
    """
    parents = dict(tasks)
    rounds: list[list[int]] = []
    heights = dict.fromkeys(parents, 0)
    for task in sorted(parents, reverse=True):
        parent, height = parents[task], heights[task]
        if parent in heights:
            heights[parent] = max(heights[parent], height + 1)
        while len(rounds) <= height:
            rounds.append([])
        rounds[height].append(task)
    above = {parent for parent in parents.values() if parent is not None} - parents.keys()
    return [*rounds, sorted(above)] if above else rounds
