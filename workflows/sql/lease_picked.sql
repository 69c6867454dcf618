-- The second half of every claim: lease the tasks of `picked` to this worker, count the delivery,
-- hold their budgets, advance the queue's virtual time.
, taken AS (
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
       t.budgeted OR t.pool_id IS NOT NULL,
       NOT t.budgeted OR NOT EXISTS (
           SELECT FROM lmx.budgets b WHERE b.task_id = t.id AND b.reserve > 0
             AND b.unit NOT IN (SELECT p.unit FROM purse p WHERE p.task_id = t.id)) AS affordable,
       t.message, t.input::text
FROM taken t
ORDER BY t.rank, t.id
