-- Take the ready tasks among `ids` out of their queues until their run is resumed, so that no
-- claim has to step over them. What another worker is just claiming is left to it.
WITH picked AS (
    SELECT id FROM lmx.tasks WHERE id = ANY(%(ids)s::bigint[]) AND state = 'ready'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE lmx.tasks t SET state = 'scheduled', run_at = 'infinity'
FROM picked WHERE t.id = picked.id
