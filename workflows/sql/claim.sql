-- Hand out up to `slots` tasks of one queue in fair order: lease each to this worker, count the
-- delivery, hold its budget, advance the queue's virtual time. `tasks` and `messages` tell which
-- kinds the process can run: lmx's own, Dramatiq's. A worker that has been declared dead, and does
-- not know it yet, gets nothing.
WITH picked AS (
    SELECT t.id FROM lmx.tasks t
    WHERE t.queue = %(queue)s AND t.state = 'ready'
      AND CASE WHEN t.message IS NULL THEN %(tasks)s::boolean ELSE %(messages)s::boolean END
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
      AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = %(queue)s AND q.paused)
      AND NOT EXISTS (SELECT FROM lmx.runs r WHERE r.id = t.root_id AND r.paused)
    ORDER BY t.rank, t.id
    LIMIT %(slots)s
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
-- :include lease_picked
