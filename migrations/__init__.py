"""The database's schema, one Alembic revision per file in versions/, numbered 0001, 0002, ...

Applied by `lmx.workflows.database.migrate`; Alembic's own command line is not needed.
"""
