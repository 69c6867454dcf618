-- Hand out ready tasks that were chosen for more than their rank; otherwise as claim.sql.
WITH picked AS (
    SELECT t.id FROM unnest(%(chosen)s::bigint[]) AS chosen(id) JOIN lmx.tasks t ON t.id = chosen.id
    WHERE t.state = 'ready'
      AND EXISTS (SELECT FROM lmx.workers w WHERE w.id = %(worker)s AND w.stopped_at IS NULL)
    FOR NO KEY UPDATE OF t SKIP LOCKED
)
-- :include lease_picked
