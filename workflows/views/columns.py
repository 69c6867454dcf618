"""Columns of tasks as several views show them."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Text, func, literal, type_coerce

from lmx.workflows.database.tables.columns import JSON
from lmx.workflows.partial import PARTIAL


def without_partial(column: Column[Any] | ColumnElement[Any]) -> ColumnElement[Any]:
    """A task's progress or error without what has come of an answer; None if that is all of it."""
    rest = column.op("-")(literal(PARTIAL, Text))
    return type_coerce(func.nullif(rest, literal({}, JSON)), JSON).label(column.key)
