"""Model providers: pools with their limits, calls with estimates, what is learnt, what is paid.

docs/providers.md explains each table; docs/decisions/0009 and 0010 say why it has this shape.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

DDL = """
-- A pool is a provider, an account and a model group: all limits of it in one row, so that a claim
-- takes one lock and one update. `limits` says what may be used, `state` what is used, both as
-- lmx.workflows.limits reads them. A pool's clock reads clock_origin at that time and runs
-- `clock_rate` times as fast as ours (rehearsals). `next_at`: before this nothing can start.
CREATE TABLE lmx.pools (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    queue        text NOT NULL,
    provider     text NOT NULL,
    account      text NOT NULL,
    model_group  text NOT NULL,
    limits       jsonb NOT NULL DEFAULT '[]',
    state        jsonb NOT NULL DEFAULT '{}',
    clock_origin timestamptz NOT NULL DEFAULT '2000-01-01T00:00:00Z',
    clock_rate   double precision NOT NULL DEFAULT 1 CHECK (clock_rate > 0),
    next_at      timestamptz,
    waits_for    text,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (provider, account, model_group)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX pools_queue ON lmx.pools (queue, id);

ALTER TABLE lmx.tasks ADD COLUMN pool_id integer;
CREATE INDEX tasks_pooled ON lmx.tasks (pool_id, rank, id)
    WHERE state = 'ready' AND pool_id IS NOT NULL;

-- What a cloud call is expected to use; `charged_at` is when its pool was last charged for it.
CREATE TABLE lmx.calls (
    task_id    bigint PRIMARY KEY,
    pool_id    integer NOT NULL REFERENCES lmx.pools (id),
    model      text NOT NULL,
    costs      jsonb NOT NULL,
    charged_at double precision
) WITH (fillfactor = 80);

-- What happened to a pool since its last claim, which folds it in and deletes it.
CREATE TABLE lmx.pool_news (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id integer NOT NULL REFERENCES lmx.pools (id) ON DELETE CASCADE,
    task_id bigint,
    kind    text NOT NULL,
    data    jsonb NOT NULL DEFAULT '{}',
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX pool_news_pool ON lmx.pool_news (pool_id, id);
"""


def upgrade() -> None:
    """Create the tables of the providers."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE lmx.pool_news, lmx.calls")
    op.execute("DROP INDEX lmx.tasks_pooled")
    op.execute("ALTER TABLE lmx.tasks DROP COLUMN pool_id")
    op.execute("DROP TABLE lmx.pools")
