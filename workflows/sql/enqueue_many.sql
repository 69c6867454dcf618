-- Put many stand-alone tasks of one name and queue into it, one per element of the JSON array
-- `inputs`. No rows back: no such queue. Fewer rows than inputs: some keys were taken.
WITH added AS (
    INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, run_at, rank, priority,
                           max_attempts, time_limit_ms, deadline, idempotency_key, request_hash,
                           input)
    SELECT n.id, n.id, 'worker', q.name, %(name)s,
           CASE WHEN %(delay)s::float8 IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
           now() + make_interval(secs => %(delay)s::float8),
           n.lane + q.lane_offset - %(priority)s::smallint * 1000.0, %(priority)s::smallint,
           %(max_attempts)s::smallint, %(time_limit_ms)s::integer,
           now() + make_interval(secs => %(timeout)s::float8),
           (%(keys)s::text[])[n.place], (%(hashes)s::bytea[])[n.place], n.input
    FROM lmx.queues q,
         (SELECT nextval('lmx.task_ids') AS id, nextval('lmx.lane') AS lane, e.value AS input,
                 e.ordinality AS place
          FROM jsonb_array_elements(%(inputs)s::jsonb) WITH ORDINALITY AS e) n
    WHERE q.name = %(queue)s
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
)
SELECT array_agg(id ORDER BY id), pg_notify('lmx:' || %(queue)s::text,
    coalesce(%(delay)s::float8::text, '')) FROM added
