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
-- `clock_rate` times as fast as ours (rehearsals). `next_at`: before this nothing can start. What
-- several pools of an account share are limits of a pool of its own, `shared_id`, of the model
-- group `*`: its calls are theirs.
CREATE TABLE lmx.pools (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE,
    queue        text NOT NULL,
    provider     text NOT NULL,
    account      text NOT NULL,
    model_group  text NOT NULL,
    shared_id    integer REFERENCES lmx.pools (id),
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
-- charged for it: `charged` at the time `charged_at` on the pool's clock. `deferred` says which
-- allowance has no room for it in this period; its task is scheduled for the end of that.
CREATE TABLE lmx.calls (
    task_id    bigint PRIMARY KEY,
    pool_id    integer NOT NULL REFERENCES lmx.pools (id),
    model      text NOT NULL,
    costs      jsonb NOT NULL,
    charged    jsonb,
    charged_at double precision,
    deferred   text
) WITH (fillfactor = 80);
CREATE INDEX calls_deferred ON lmx.calls (task_id) WHERE deferred IS NOT NULL;

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

-- What the calls of an account (`scope`, provider/account), or all calls (`*`), may spend of a unit
-- in each day or month of a time zone, or in all. `origin` says who set it: a person, or the file
-- providers.toml. One that is not active any more grants without end.
CREATE TABLE lmx.allowances (
    id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope   text NOT NULL,
    unit    text NOT NULL CHECK (unit IN ('usd', 'tokens', 'calls', 'seconds')),
    per     text NOT NULL CHECK (per IN ('day', 'month', 'total')),
    zone    text NOT NULL,
    ceiling bigint NOT NULL CHECK (ceiling >= 0),
    origin  text NOT NULL CHECK (origin IN ('person', 'file')),
    active  boolean NOT NULL DEFAULT true,
    UNIQUE (scope, unit, per)
);

-- A day, a month or the whole time (`ends_at` NULL) of an allowance. The ceiling is at least what
-- was spent and held when the allowance was lowered.
CREATE TABLE lmx.allowance_periods (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    allowance_id integer NOT NULL REFERENCES lmx.allowances (id),
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz,
    ceiling      bigint NOT NULL CHECK (ceiling >= 0),
    spent        bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    held         bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    UNIQUE (allowance_id, starts_at),
    CONSTRAINT allowances_never_overspent CHECK (spent + held <= ceiling)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- What an attempt holds of a period. `cost` is set when it is settled; the next claim that locks
-- the period moves it from held to spent, and deletes the row.
CREATE TABLE lmx.allowance_holds (
    task_id   bigint NOT NULL,
    lease_seq integer NOT NULL,
    period_id bigint NOT NULL REFERENCES lmx.allowance_periods (id),
    unit      text NOT NULL,
    amount    bigint NOT NULL CHECK (amount >= 0),
    cost      bigint CHECK (cost BETWEEN 0 AND amount),
    PRIMARY KEY (task_id, lease_seq, period_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX allowance_holds_settled ON lmx.allowance_holds (period_id) WHERE cost IS NOT NULL;

-- Append-only: every amount ever spent of an allowance. Sums to what is spent of its periods.
CREATE TABLE lmx.allowance_charges (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    period_id bigint NOT NULL REFERENCES lmx.allowance_periods (id),
    task_id   bigint NOT NULL,
    lease_seq integer NOT NULL,
    amount    bigint NOT NULL CHECK (amount >= 0),
    reason    text NOT NULL CHECK (reason IN ('settled', 'unknown')),
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX allowance_charges_period ON lmx.allowance_charges (period_id);

CREATE FUNCTION lmx.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lmx.% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lmx.charges
    FOR EACH STATEMENT EXECUTE FUNCTION lmx.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON lmx.allowance_charges
    FOR EACH STATEMENT EXECUTE FUNCTION lmx.refuse_change();
-- A batch of calls at a provider, from the intent to send it on. `token` is part of every custom id
-- in it, so that it is known again. sending: nobody knows yet whether the provider has it;
-- `candidates` are those of the provider's batches that may be it. `next_at`: when somebody must
-- look after it; `worker_id`: who does right now; `deliveries`: how often one has begun to since
-- it last made progress.
CREATE TABLE lmx.batches (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pool_id     integer NOT NULL REFERENCES lmx.pools (id),
    model       text NOT NULL,
    token       text NOT NULL UNIQUE,
    state       text NOT NULL CHECK
        (state IN ('sending', 'processing', 'cancelling', 'ended', 'refused')),
    provider_id text UNIQUE,
    candidates  text[],
    calls       integer NOT NULL,
    tokens      bigint NOT NULL,
    worker_id   bigint,
    deliveries  integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at     timestamptz,
    expires_at  timestamptz,
    polled_at   timestamptz,
    next_at     timestamptz,
    ended_at    timestamptz,
    error       text,
    CONSTRAINT batches_open CHECK ((state IN ('ended', 'refused')) = (next_at IS NULL)),
    CONSTRAINT batches_ended CHECK ((state IN ('ended', 'refused')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX batches_due ON lmx.batches (next_at) WHERE next_at IS NOT NULL;

-- The attempt of a task that is in a batch; `outcome` is what became of it there.
CREATE TABLE lmx.batch_calls (
    batch_id  bigint NOT NULL REFERENCES lmx.batches (id),
    task_id   bigint NOT NULL,
    lease_seq integer NOT NULL,
    outcome   text,
    PRIMARY KEY (task_id, lease_seq)
) WITH (fillfactor = 80);
CREATE INDEX batch_calls_open ON lmx.batch_calls (batch_id) WHERE outcome IS NULL;
"""


def upgrade() -> None:
    """Create the tables of the providers."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE lmx.task_files, lmx.files")
    op.execute("DROP TRIGGER append_only ON lmx.charges")
    op.execute(
        "DROP TABLE lmx.allowance_charges, lmx.allowance_holds, lmx.allowance_periods,"
        " lmx.allowances"
    )
    op.execute("DROP FUNCTION lmx.refuse_change")
    op.execute("DROP TABLE lmx.batch_calls, lmx.batches")
    op.execute("DROP TABLE lmx.pool_news, lmx.calls, lmx.cloud_models")
    op.execute("DROP INDEX lmx.tasks_pooled")
    op.execute("ALTER TABLE lmx.tasks DROP COLUMN pool_id")
    op.execute("DROP TABLE lmx.pools")
