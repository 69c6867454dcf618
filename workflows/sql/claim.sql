-- Hand out up to `slots` tasks of one queue in fair order: lease each to this worker, count the
-- delivery, hold its budget, advance the queue's virtual time. `tasks` and `messages` tell which
-- kinds the process can run: lmx's own, Dramatiq's. `only` narrows the choice to these ids. A worker
-- that has been declared dead, and does not know it yet, gets nothing.
WITH picked AS (
    SELECT t.id FROM lmx.tasks t
    WHERE t.queue = %(queue)s AND t.state = 'ready'
      AND CASE WHEN t.message IS NULL THEN %(tasks)s::boolean ELSE %(messages)s::boolean END
      AND (%(only)s::bigint[] IS NULL OR t.id = ANY(%(only)s::bigint[]))
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
      AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = %(queue)s AND q.paused)
      AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
    ORDER BY t.rank, t.id
    LIMIT %(slots)s
    FOR NO KEY UPDATE OF t SKIP LOCKED
), taken AS (
    UPDATE lmx.tasks t
    SET state = 'leased', worker_id = %(worker)s, lease_seq = t.lease_seq + 1,
        deliveries = t.deliveries + 1, started_at = clock_timestamp()
    FROM picked WHERE t.id = picked.id
    RETURNING t.*
), clock AS (
    UPDATE lmx.queues q
    SET vtime = greatest(q.vtime, m.top),
        lane_offset = greatest(q.lane_offset, greatest(q.vtime, m.top) - m.lane)
    FROM (SELECT max(rank) AS top, (SELECT last_value FROM lmx.lane) AS lane FROM taken) m
    WHERE q.name = %(queue)s AND m.top > q.vtime
), purse AS (
    UPDATE lmx.budgets b SET held = b.held + b.reserve
    FROM taken
    WHERE taken.budgeted AND b.task_id = taken.id AND b.reserve > 0
      AND b.spent + b.held + b.granted + b.reserve <= b.ceiling
    RETURNING b.task_id, b.unit, b.reserve, taken.lease_seq
), held AS (
    INSERT INTO lmx.holds (task_id, unit, lease_seq, amount)
    SELECT task_id, unit, lease_seq, reserve FROM purse
    RETURNING task_id
)
SELECT t.id, t.lease_seq, t.root_id, t.parent_id, t.role::text, t.name, t.queue, t.key,
       t.nesting, t.priority, t.deliveries, t.attempts, t.max_attempts, t.time_limit_ms,
       extract(epoch FROM t.deadline)::float8 AS deadline,
       extract(epoch FROM t.started_at)::float8 AS claimed_at,
       t.budgeted,
       NOT t.budgeted OR NOT EXISTS (
           SELECT FROM lmx.budgets b WHERE b.task_id = t.id AND b.reserve > 0
             AND b.unit NOT IN (SELECT p.unit FROM purse p WHERE p.task_id = t.id)) AS affordable,
       t.message, t.input::text
FROM taken t
ORDER BY t.rank, t.id
