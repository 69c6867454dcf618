"""Which calls share a session."""

import pytest

from lmx.workflows.errors import InvalidInput
from lmx.workflows.sessions import session_name


def test_runs_do_not_meet_by_accident() -> None:
    names = {session_name("lead", run) for run in (None, 1, 17)}
    assert names == {"/lead", "1/lead", "17/lead"}


def test_a_slash_shares_a_session_with_other_runs_and_with_calls_of_their_own() -> None:
    assert session_name("/notes", 17) == session_name("notes", None) == "/notes"


def test_a_call_of_its_own_cannot_name_the_session_of_a_run() -> None:
    assert session_name("17/lead", None) == "/17/lead" != session_name("lead", 17)


@pytest.mark.parametrize("given", ["", " ", "/", 3, "a\nb", "x" * 201])
def test_what_is_no_name_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match="session must be a name"):
        session_name(given, None)
