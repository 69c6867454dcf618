"""Model providers: pools with their limits, calls with estimates, what is learnt, what is paid.

docs/architecture.md explains each table; docs/decisions/0009 says why it has this shape.
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

-- What a cloud call may use of each dimension, at the most (`costs`), and what its pool was last
-- charged for it: `charged` at the time `charged_at` on the pool's clock.
CREATE TABLE lmx.calls (
    task_id    bigint PRIMARY KEY,
    pool_id    integer NOT NULL REFERENCES lmx.pools (id),
    model      text NOT NULL,
    costs      jsonb NOT NULL,
    charged    jsonb,
    charged_at double precision
) WITH (fillfactor = 80);

-- The cloud models that can be called, as the workers of their providers know them. `prices` are
-- the rows of the price table of this version.
CREATE TABLE lmx.cloud_models (
    name          text PRIMARY KEY,
    provider      text NOT NULL,
    model_group   text NOT NULL,
    context       integer NOT NULL CHECK (context > 0),
    max_output    integer NOT NULL CHECK (max_output > 0),
    features      text[] NOT NULL DEFAULT '{}',
    prices        jsonb NOT NULL DEFAULT '[]',
    price_version text NOT NULL DEFAULT '',
    seen_at       timestamptz NOT NULL DEFAULT now()
);

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

-- Images and files of messages, each once; the bytes are compressed already. `seen_at` is when it
-- was last submitted (to the hour).
CREATE TABLE lmx.files (
    sha256     text PRIMARY KEY,
    media_type text NOT NULL,
    width      integer NOT NULL DEFAULT 0,
    height     integer NOT NULL DEFAULT 0,
    pages      integer NOT NULL DEFAULT 0,
    size       integer NOT NULL,
    data       bytea NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT files_whole CHECK (octet_length(data) = size)
);
ALTER TABLE lmx.files ALTER COLUMN data SET STORAGE EXTERNAL;

-- Which tasks refer to them.
CREATE TABLE lmx.task_files (
    task_id bigint NOT NULL,
    sha256  text NOT NULL REFERENCES lmx.files (sha256),
    PRIMARY KEY (task_id, sha256)
);
CREATE INDEX task_files_file ON lmx.task_files (sha256);
"""


def upgrade() -> None:
    """Create the tables of the providers."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE lmx.task_files, lmx.files")
    op.execute("DROP TABLE lmx.pool_news, lmx.calls, lmx.cloud_models")
    op.execute("DROP INDEX lmx.tasks_pooled")
    op.execute("ALTER TABLE lmx.tasks DROP COLUMN pool_id")
    op.execute("DROP TABLE lmx.pools")
