-- Put many Dramatiq messages into their queues, one per element of the parallel arrays. Fewer
-- rows back than messages: no such queue, or the key is taken.
WITH given AS (
    SELECT * FROM unnest(%(queues)s::text[], %(names)s::text[], %(priorities)s::smallint[],
                         %(keys)s::text[], %(messages)s::bytea[])
        WITH ORDINALITY AS m(queue, name, priority, key, message, place)
), placed AS (
    SELECT g.*, nextval('lmx.task_ids') AS id, nextval('lmx.lane') AS lane, q.lane_offset
    FROM given g JOIN lmx.queues q ON q.name = g.queue
    ORDER BY g.place
), added AS (
    INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, run_at, rank, priority,
                           idempotency_key, message)
    SELECT id, id, 'worker', queue, name,
           CASE WHEN %(delay)s::float8 IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
           now() + make_interval(secs => %(delay)s::float8),
           lane + lane_offset - priority * 1000.0, priority, key, message
    FROM placed
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING queue, idempotency_key
), told AS (
    SELECT pg_notify('lmx:' || queue, coalesce(%(delay)s::float8::text, ''))
    FROM (SELECT DISTINCT queue FROM added) a
)
SELECT idempotency_key, (SELECT count(*) FROM told) AS told FROM added
