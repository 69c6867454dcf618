-- Put Dramatiq messages (base64) into their queues on behalf of leased tasks: what their
-- callbacks and pipelines send. A message that is queued already stays as it is; one that has
-- finished is queued anew.
WITH given AS (
    SELECT d.*
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, queue text, name text, key text, priority smallint,
              delay float8, message text)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), forgotten AS (
    UPDATE lmx.tasks t SET idempotency_key = NULL
    FROM given g WHERE t.idempotency_key = g.key AND t.finished_at IS NOT NULL
    RETURNING t.id
), queue_rows AS (
    INSERT INTO lmx.queues (name)
    SELECT DISTINCT queue FROM given
    WHERE NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = given.queue)
    ON CONFLICT DO NOTHING
), placed AS (
    SELECT g.*, nextval('lmx.task_ids') AS child, nextval('lmx.lane') AS lane,
           coalesce(q.lane_offset, 0) AS lane_offset
    FROM given g LEFT JOIN lmx.queues q ON q.name = g.queue
    WHERE (SELECT count(*) FROM forgotten) >= 0
), added AS (
    INSERT INTO lmx.tasks (id, root_id, role, queue, name, state, run_at, rank, priority,
                           idempotency_key, message)
    SELECT child, child, 'worker', queue, name,
           CASE WHEN delay IS NULL THEN 'ready' ELSE 'scheduled' END::lmx.task_state,
           now() + make_interval(secs => delay), lane + lane_offset - priority * 1000.0,
           priority, key, decode(message, 'base64')
    FROM placed
    ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
), told AS (
    SELECT pg_notify('lmx:' || queue, coalesce(delay::text, ''))
    FROM (SELECT DISTINCT p.queue, p.delay FROM placed p JOIN added a ON a.id = p.child) n
)
SELECT op, (SELECT count(*) FROM told) AS told FROM given
