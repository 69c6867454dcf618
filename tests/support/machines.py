"""State machines of hypothesis on a database of the test's own."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lmx.workflows.database.connect import Database


def run_machine(
    machine: type[RuleBasedStateMachine], database: Database, *, examples: int, steps: int
) -> None:
    """Run `machine`, which declares a `database`, on this one; the same examples in every run."""
    run_state_machine_as_test(
        type(f"{machine.__name__}OfTheTest", (machine,), {"database": database}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
