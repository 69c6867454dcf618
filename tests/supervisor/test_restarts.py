"""When a child that ended is started again."""

from lmx.api.supervisor.restarts import ENVIRONMENT, INSTALLATION, RestartHistory, RestartPolicy
from lmx.workflows.sweep import MAX_DELIVERIES

POLICY = RestartPolicy(first_s=0.1, prompt=1, longest_s=1.0, stable_s=60, tries=3, failed_s=45)


def test_the_wait_doubles_up_to_its_longest() -> None:
    history = RestartHistory(POLICY)
    waits = [history.ended(1, ran_s=0.5).delay_s for _ in range(6)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_deaths_that_one_poisonous_task_may_cost_are_answered_at_once() -> None:
    history = RestartHistory(RestartPolicy(first_s=0.1))
    waits = [history.ended(-9, ran_s=0.5).delay_s for _ in range(MAX_DELIVERIES + 2)]
    assert waits == [0.1] * MAX_DELIVERIES + [0.2, 0.4]


def test_a_stable_run_starts_the_wait_over() -> None:
    history = RestartHistory(POLICY)
    for _ in range(5):
        history.ended(1, ran_s=0.5)
    assert history.ended(-9, ran_s=61).delay_s == 0.1


def test_a_child_that_ends_for_months_is_still_started_again() -> None:
    history = RestartHistory(POLICY)
    for _ in range(5000):
        verdict = history.ended(1, ran_s=0)
    assert verdict.delay_s == 1.0
    assert not verdict.failed


def test_an_environment_that_forbids_it_makes_the_child_failed_after_some_tries() -> None:
    history = RestartHistory(POLICY)
    verdicts = [history.ended(ENVIRONMENT, ran_s=0.5) for _ in range(4)]
    assert [verdict.failed for verdict in verdicts] == [False, False, True, True]
    assert verdicts[-1].delay_s == 45


def test_only_environment_errors_in_a_row_count() -> None:
    history = RestartHistory(POLICY)
    for code in (ENVIRONMENT, ENVIRONMENT, 1, ENVIRONMENT, ENVIRONMENT):
        assert not history.ended(code, ran_s=0.5).failed


def test_a_child_whose_installation_is_broken_is_failed_at_once_and_seldom_tried() -> None:
    history = RestartHistory(RestartPolicy(broken_s=600))
    verdict = history.ended(INSTALLATION, ran_s=0.5)
    assert (verdict.failed, verdict.delay_s) == (True, 600)
    assert history.ended(1, ran_s=0.5).delay_s == 0.1, "it was not its fault"
