-- Start a run: its root task, its share and its budgets. No row back: as for enqueue.sql.
WITH root AS (
    INSERT INTO lmx.tasks (id, root_id, role, nesting, queue, name, state, run_at, rank, priority,
                           max_attempts, time_limit_ms, deadline, idempotency_key, request_hash,
                           budgeted, input)
    SELECT n.id, n.id, %(role)s::lmx.task_role, %(nesting)s::smallint, q.name, %(name)s,
           CASE WHEN %(delay)s::float8 IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
           now() + make_interval(secs => %(delay)s::float8),
           n.lane + q.lane_offset - %(priority)s::smallint * 1000.0, %(priority)s::smallint,
           %(max_attempts)s::smallint, %(time_limit_ms)s::integer,
           now() + make_interval(secs => %(timeout)s::float8), %(key)s, %(hash)s::bytea,
           %(budgets)s::jsonb <> '[]', %(input)s::jsonb
    FROM lmx.queues q, (SELECT nextval('lmx.task_ids') AS id, nextval('lmx.lane') AS lane) n
    WHERE q.name = %(queue)s
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, queue
), share AS (
    INSERT INTO lmx.runs (id, weight) SELECT id, %(weight)s::float8 FROM root
), money AS (
    INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve, lost)
    SELECT root.id, b.unit, b.ceiling, coalesce(b.reserve, 0), coalesce(b.lost, 'charge')
    FROM root, jsonb_to_recordset(%(budgets)s::jsonb)
               AS b(unit text, ceiling bigint, reserve bigint, lost text)
)
SELECT id, pg_notify('lmx:' || queue, coalesce(%(delay)s::float8::text, '')) FROM root
