-- Lease calls that wait in a batch to this worker again, under the token that they were parked with, so
-- that what became of them can be recorded in this same transaction.
UPDATE lmx.tasks t SET state = 'leased', worker_id = %(worker)s
FROM lmx.batch_calls m
WHERE m.batch_id = %(batch)s AND m.outcome IS NULL AND m.task_id = ANY(%(ids)s::bigint[])
  AND t.id = m.task_id AND t.lease_seq = m.lease_seq AND t.state = 'parked'
RETURNING t.id
