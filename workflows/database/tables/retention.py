"""What has been pruned, and what the pruned runs had spent."""

from sqlalchemy import BigInteger, Column, Table, Text

from lmx.workflows.database.tables.columns import TIME, metadata

pruned = Table(
    "pruned",
    metadata,
    Column("what", Text, primary_key=True),
    Column("before", TIME, nullable=False),
    Column("at", TIME, nullable=False),
)

pruned_budgets = Table(
    "pruned_budgets",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("unit", Text, primary_key=True),
    Column("ceiling", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("finished_at", TIME, nullable=False),
    Column("at", TIME, nullable=False),
)
