"""The durable core: runs, tasks, checkpoints, signals, budgets, memory, queues, workers, devices.

docs/architecture.md explains each table; docs/decisions/ says why it has this shape.
"""

from alembic import op

revision = "0001"
down_revision = None

DDL = """
CREATE TYPE lmx.task_state AS ENUM
    ('scheduled', 'ready', 'leased', 'parked', 'succeeded', 'failed', 'cancelled');
CREATE TYPE lmx.task_role AS ENUM ('coordinator', 'worker');

-- One row per queue. `vtime` is the virtual time of the queue's stride scheduler: the rank of
-- the latest task handed out. Tasks that belong to no run take the next number of lmx.lane plus
-- `lane_offset` as their rank (docs/decisions/0003-fair-order.md).
CREATE TABLE lmx.queues (
    name        text PRIMARY KEY,
    paused      boolean NOT NULL DEFAULT false,
    vtime       double precision NOT NULL DEFAULT 0,
    lane_offset double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- One row per worker process. Its heartbeat is the lease of all tasks that it holds.
CREATE TABLE lmx.workers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    queues      text[] NOT NULL,
    host        text NOT NULL,
    boot_id     text NOT NULL,
    pid         integer NOT NULL,
    pid_started double precision NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    stopped_at  timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
CREATE INDEX workers_live ON lmx.workers (expires_at) WHERE stopped_at IS NULL;

-- The functions that workers have registered, so that every process knows their names.
CREATE TABLE lmx.catalog (
    name       text PRIMARY KEY,
    role       lmx.task_role NOT NULL,
    queue      text NOT NULL,
    max_attempts  smallint NOT NULL DEFAULT 4,
    time_limit_ms integer,
    doc        text,
    parameters jsonb NOT NULL DEFAULT '{}',
    seen_at    timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE lmx.task_ids;
CREATE SEQUENCE lmx.lane;

-- The task row is the queue. `rank` is its place in the claim order of its queue (smaller first).
CREATE TABLE lmx.tasks (
    id            bigint NOT NULL DEFAULT nextval('lmx.task_ids'),
    root_id       bigint NOT NULL,
    parent_id     bigint,
    worker_id     bigint,
    rank          double precision NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    run_at        timestamptz,
    started_at    timestamptz,
    finished_at   timestamptz,
    deadline      timestamptz,
    lease_seq     integer NOT NULL DEFAULT 0,
    waiting       integer NOT NULL DEFAULT 0,
    time_limit_ms integer,
    state         lmx.task_state NOT NULL,
    role          lmx.task_role NOT NULL,
    parent_role   lmx.task_role,
    priority      smallint NOT NULL DEFAULT 0,
    nesting       smallint NOT NULL DEFAULT 0,
    deliveries    smallint NOT NULL DEFAULT 0,
    attempts      smallint NOT NULL DEFAULT 0,
    max_attempts  smallint NOT NULL DEFAULT 4,
    budgeted      boolean NOT NULL DEFAULT false,
    queue         text NOT NULL,
    name          text NOT NULL,
    key           text,
    waiting_for   text,
    idempotency_key text,
    request_hash  bytea,
    message       bytea,
    input         jsonb,
    output        jsonb,
    error         jsonb,
    usage         jsonb,
    progress      jsonb,
    PRIMARY KEY (id),
    CONSTRAINT tasks_id_role UNIQUE (id, role),
    CONSTRAINT tasks_only_coordinators_spawn CHECK (parent_role = 'coordinator'),
    CONSTRAINT tasks_parent FOREIGN KEY (parent_id, parent_role) REFERENCES lmx.tasks (id, role),
    CONSTRAINT tasks_parent_whole CHECK ((parent_id IS NULL) = (parent_role IS NULL)),
    CONSTRAINT tasks_spawn_key CHECK ((parent_id IS NULL) = (key IS NULL)),
    CONSTRAINT tasks_nesting CHECK (nesting >= 0),
    CONSTRAINT tasks_workers_are_leaves CHECK (role = 'coordinator' OR nesting = 0),
    CONSTRAINT tasks_leased_by_someone CHECK ((state = 'leased') = (worker_id IS NOT NULL)),
    CONSTRAINT tasks_finished CHECK
        ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_insert_scale_factor = 0.1);
ALTER SEQUENCE lmx.task_ids OWNED BY lmx.tasks.id;
CREATE INDEX tasks_ready ON lmx.tasks (queue, rank, id) WHERE state = 'ready';
CREATE INDEX tasks_leased ON lmx.tasks (worker_id) WHERE state = 'leased';
CREATE INDEX tasks_timed ON lmx.tasks (run_at)
    WHERE run_at IS NOT NULL AND state IN ('scheduled', 'parked');
CREATE INDEX tasks_deadline ON lmx.tasks (deadline)
    WHERE deadline IS NOT NULL AND finished_at IS NULL;
CREATE UNIQUE INDEX tasks_children ON lmx.tasks (parent_id, key) WHERE parent_id IS NOT NULL;
CREATE UNIQUE INDEX tasks_idempotency ON lmx.tasks (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- What only a run with a coordinator (or a paused one) needs. `weight` is its share of a queue.
CREATE TABLE lmx.runs (
    id     bigint PRIMARY KEY,
    weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0),
    paused boolean NOT NULL DEFAULT false,
    forked_from bigint
) WITH (fillfactor = 70);
CREATE INDEX runs_paused ON lmx.runs (id) WHERE paused;

-- The stride scheduler's pass of one run in one queue: the rank of its latest task there.
CREATE TABLE lmx.lanes (
    run_id bigint NOT NULL,
    queue  text NOT NULL,
    pass   double precision NOT NULL,
    PRIMARY KEY (run_id, queue)
) WITH (fillfactor = 50);

CREATE TABLE lmx.checkpoints (
    task_id bigint NOT NULL,
    name    text NOT NULL,
    output  jsonb,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (task_id, name)
);

-- Messages from outside that a coordinator waits for by name; `seq` orders those of one name.
CREATE TABLE lmx.signals (
    task_id bigint NOT NULL,
    name    text NOT NULL,
    seq     integer NOT NULL,
    payload jsonb,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, name, seq)
);

CREATE TABLE lmx.memory (
    run_id  bigint NOT NULL,
    key     text NOT NULL,
    value   jsonb,
    version bigint NOT NULL DEFAULT 1,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, key)
);

-- What the task rows cannot tell: the audit of retries, recoveries, cancels, pauses, spending.
CREATE TABLE lmx.events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id  bigint NOT NULL,
    task_id bigint NOT NULL,
    kind    text NOT NULL,
    data    jsonb,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_run ON lmx.events (run_id, id);

-- A budget's amounts are integers of its unit; the unit `usd` counts nano-dollars. Each attempt
-- of the task holds `reserve` before it starts; `lost` says what an attempt costs whose outcome
-- is unknown: 'charge' (a paid call) or 'release' (nothing was bought).
CREATE TABLE lmx.budgets (
    task_id bigint NOT NULL,
    unit    text NOT NULL,
    ceiling bigint NOT NULL CHECK (ceiling >= 0),
    spent   bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    held    bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    granted bigint NOT NULL DEFAULT 0 CHECK (granted >= 0),
    reserve bigint NOT NULL DEFAULT 0 CHECK (reserve >= 0),
    lost    text NOT NULL DEFAULT 'charge' CHECK (lost IN ('charge', 'release')),
    closed  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (task_id, unit),
    CONSTRAINT budgets_never_overspent CHECK (spent + held + granted <= ceiling)
) WITH (fillfactor = 70);

-- What the running attempt has reserved and not yet settled.
CREATE TABLE lmx.holds (
    task_id   bigint NOT NULL,
    unit      text NOT NULL,
    lease_seq integer NOT NULL,
    amount    bigint NOT NULL CHECK (amount >= 0),
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_id, unit),
    FOREIGN KEY (task_id, unit) REFERENCES lmx.budgets (task_id, unit) ON DELETE CASCADE
);

-- Append-only: every amount that was ever spent. Sums to `budgets.spent`.
CREATE TABLE lmx.charges (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id    bigint NOT NULL,
    task_id   bigint NOT NULL,
    lease_seq integer NOT NULL,
    unit      text NOT NULL,
    amount    bigint NOT NULL CHECK (amount >= 0),
    reason    text NOT NULL CHECK (reason IN ('settled', 'unknown')),
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX charges_task ON lmx.charges (task_id);
CREATE INDEX charges_run ON lmx.charges (run_id);

-- Local models by name; `info` is what the file says of itself.
CREATE TABLE lmx.models (
    name       text PRIMARY KEY,
    path       text NOT NULL,
    sha256     text NOT NULL,
    size_bytes bigint NOT NULL,
    n_ctx      integer NOT NULL CHECK (n_ctx > 0),
    usd_nano_per_mtok_in  bigint NOT NULL DEFAULT 0 CHECK (usd_nano_per_mtok_in >= 0),
    usd_nano_per_mtok_out bigint NOT NULL DEFAULT 0 CHECK (usd_nano_per_mtok_out >= 0),
    info       jsonb NOT NULL,
    needs      jsonb NOT NULL DEFAULT '{}',
    added_at   timestamptz NOT NULL DEFAULT now()
);

-- Results of Dramatiq actors, and the counters of Dramatiq's rate limiters and barriers. What has
-- expired counts as gone. `arrivals` remembers which tasks have counted a barrier down and
-- what they were told, so that a task delivered twice counts once.
CREATE TABLE lmx.results (
    key        text PRIMARY KEY,
    data       bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX results_expiry ON lmx.results (expires_at);
CREATE TABLE lmx.rate_limits (
    key        text PRIMARY KEY,
    value      bigint NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX rate_limits_expiry ON lmx.rate_limits (expires_at);
CREATE TABLE lmx.arrivals (
    key     text NOT NULL REFERENCES lmx.rate_limits (key) ON DELETE CASCADE,
    task_id bigint NOT NULL,
    stepped boolean NOT NULL,
    PRIMARY KEY (key, task_id)
);

-- The devices that GPU workers serve, and the bytes booked on them.
CREATE TABLE lmx.devices (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host       text NOT NULL,
    name       text NOT NULL,
    cap_bytes  bigint NOT NULL,
    worker_id  bigint,
    snapshot   jsonb,
    seen_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (host, name)
);
CREATE TABLE lmx.vram_leases (
    device_id bigint NOT NULL REFERENCES lmx.devices (id) ON DELETE CASCADE,
    holder    text NOT NULL,
    kind      text NOT NULL,
    bytes     bigint NOT NULL CHECK (bytes >= 0),
    worker_id bigint,
    task_id   bigint,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, holder, kind)
);
"""


def upgrade() -> None:
    """Create every type, table and index of the first schema."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them all; only the schema and Alembic's version table stay."""
    op.execute(
        "DROP TABLE lmx.arrivals, lmx.rate_limits, lmx.results, lmx.vram_leases, lmx.devices,"
        " lmx.models, lmx.charges, lmx.holds, lmx.budgets,"
        " lmx.events, lmx.memory, lmx.signals, lmx.checkpoints, lmx.lanes, lmx.runs, lmx.tasks,"
        " lmx.catalog, lmx.workers, lmx.queues"
    )
    op.execute("DROP SEQUENCE IF EXISTS lmx.task_ids, lmx.lane")
    op.execute("DROP TYPE lmx.task_state, lmx.task_role")
