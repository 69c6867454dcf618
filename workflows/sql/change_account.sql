-- Put up to `most` calls that wait in a pool into that of another account, the hindmost first: those that
-- no route has placed (or only `task`), and that the other pool's limits allow at all. In another queue
-- they are newcomers.
WITH chosen AS (
    SELECT t.id FROM lmx.tasks t JOIN lmx.calls c ON c.task_id = t.id
    WHERE t.pool_id = %(here)s AND t.state = 'ready'
      AND (t.id = %(task)s::bigint OR %(task)s::bigint IS NULL
           AND NOT EXISTS (SELECT FROM lmx.decisions d WHERE d.task_id = t.id))
      AND NOT EXISTS (
          SELECT FROM lmx.pools there, jsonb_array_elements(there.limits) l
          WHERE there.id = %(there)s AND (c.costs ->> (l ->> 'of'))::bigint > (l ->> 'limit')::bigint)
    ORDER BY t.rank DESC, t.id DESC LIMIT %(most)s
    FOR NO KEY UPDATE OF t SKIP LOCKED
), moved AS (
    UPDATE lmx.tasks t
    SET pool_id = p.id, queue = p.queue,
        rank = CASE WHEN t.queue = p.queue THEN t.rank
                    ELSE nextval('lmx.lane') + q.lane_offset - t.priority * 1000.0 END
    FROM chosen, lmx.pools p JOIN lmx.queues q ON q.name = p.queue
    WHERE t.id = chosen.id AND p.id = %(there)s
    RETURNING t.id
), placed AS (
    UPDATE lmx.calls c SET pool_id = %(there)s FROM moved WHERE c.task_id = moved.id
)
SELECT (SELECT count(*) FROM moved), pg_notify('lmx:' || queue, '') FROM lmx.pools WHERE id = %(there)s
