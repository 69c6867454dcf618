"""Errors are one line each, and their exit codes agree with their HTTP statuses."""

import pickle

import pytest

from lmx.workflows import errors
from lmx.workflows.errors import EngineUnusable, LmxError, NeverFitsError

ALL: list[type[LmxError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, LmxError)
    and kind not in (NeverFitsError, EngineUnusable)
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_is_one_line_that_ends_with_what_to_do(kind: type[LmxError]) -> None:
    error = kind("it broke\nin two lines", hint="mend\nit")
    assert str(error) == "it broke in two lines; mend it"
    assert str(kind("it broke")) == "it broke"


def test_codes_are_unique_slugs() -> None:
    codes = [NeverFitsError.code, EngineUnusable.code, *(kind.code for kind in ALL)]
    assert len(set(codes)) == len(codes)
    assert all(code.isidentifier() and code.islower() for code in codes)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_exit_code_agrees_with_the_http_status(kind: type[LmxError]) -> None:
    requests_fault = kind.exit_code in (2, 3)
    assert requests_fault == (400 <= kind.http_status < 500)
    assert kind.exit_code in range(1, 6)


def test_what_never_fits_is_told_with_all_three_numbers() -> None:
    error = NeverFitsError(3 << 30, 400 << 20, 100 << 20)
    assert "3 GiB" in str(error)
    assert "400 MiB" in str(error)
    assert "100 MiB" in str(error)
    assert (error.needs, error.cap, error.free) == (3 << 30, 400 << 20, 100 << 20)


@pytest.mark.parametrize("error", [LmxError("broke", hint="mend"), NeverFitsError(3, 2, 1)])
def test_an_error_survives_the_way_between_processes(error: LmxError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
