"""What has been pruned: until when, and what the pruned runs had spent."""

from alembic import op

revision = "0006"
down_revision = "0005"

DDL = """
-- What ended before `before` may have been pruned: records of runs (decisions, events, batches), or
-- the runs themselves. `at` is when somebody last began to prune it.
CREATE TABLE lmx.pruned (
    what   text PRIMARY KEY CHECK (what IN ('records', 'runs')),
    before timestamptz NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a pruned run has spent in all, and what it might have. Its budgets went with its tasks; its
-- charges stay for ever, and sum to `spent`.
CREATE TABLE lmx.pruned_budgets (
    run_id      bigint NOT NULL,
    unit        text NOT NULL,
    ceiling     bigint NOT NULL,
    spent       bigint NOT NULL CHECK (spent >= 0),
    name        text NOT NULL,
    finished_at timestamptz NOT NULL,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, unit)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lmx.pruned_budgets
    FOR EACH STATEMENT EXECUTE FUNCTION lmx.refuse_change();

CREATE INDEX batch_calls_batch ON lmx.batch_calls (batch_id);
"""


def upgrade() -> None:
    """Create the tables, and an index for the members of batches that have ended."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX lmx.batch_calls_batch")
    op.execute("DROP TABLE lmx.pruned_budgets, lmx.pruned")
