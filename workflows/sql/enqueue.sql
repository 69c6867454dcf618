-- Put one stand-alone task into its queue. No row back: no such queue, or the key is taken.
INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, run_at, rank, priority,
                       max_attempts, time_limit_ms, deadline, idempotency_key, request_hash,
                       message, input)
SELECT n.id, n.id, 'worker', q.name, %(name)s,
       CASE WHEN %(delay)s::float8 IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
       now() + make_interval(secs => %(delay)s::float8),
       n.lane + q.lane_offset - %(priority)s::smallint * 1000.0, %(priority)s::smallint,
       %(max_attempts)s::smallint, %(time_limit_ms)s::integer,
       now() + make_interval(secs => %(timeout)s::float8), %(key)s, %(hash)s::bytea,
       %(message)s::bytea, %(input)s::jsonb
FROM lmx.queues q, (SELECT nextval('lmx.task_ids') AS id, nextval('lmx.lane') AS lane) n
WHERE q.name = %(queue)s
ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id, pg_notify('lmx:' || queue, coalesce(%(delay)s::float8::text, ''))
