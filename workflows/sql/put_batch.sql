-- Put calls that this worker has just leased into a new batch, to be sent at once: they park, and
-- nobody holds anything for them but their budgets. Row back: the batch's id.
WITH batch AS (
    INSERT INTO lmx.batches (pool_id, model, token, state, calls, tokens, worker_id, next_at)
    VALUES (%(pool)s, %(model)s, %(token)s, 'sending', cardinality(%(ids)s::bigint[]), %(tokens)s,
            NULL, clock_timestamp())
    RETURNING id
), parked AS (
    UPDATE lmx.tasks t SET state = 'parked', worker_id = NULL
    WHERE t.id = ANY(%(ids)s::bigint[]) AND t.state = 'leased' AND t.worker_id = %(worker)s
    RETURNING t.id, t.lease_seq, t.root_id
), put AS (
    INSERT INTO lmx.batch_calls (batch_id, task_id, lease_seq)
    SELECT batch.id, parked.id, parked.lease_seq FROM batch, parked
), noted AS (
    INSERT INTO lmx.events (run_id, task_id, kind, data)
    SELECT p.root_id, p.id, 'batched', jsonb_build_object('batch', batch.id) FROM batch, parked p
)
SELECT id FROM batch
