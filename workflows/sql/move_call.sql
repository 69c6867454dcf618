-- Move a call that waits to another model: its queue, where it is a newcomer unless it was there
-- already, its pool (NULL: none), what its input says of the model, and the time limit if that came
-- with the old pool. No row back: it was claimed, or moved by somebody else.
UPDATE lmx.tasks t
SET queue = q.name, pool_id = %(pool)s::integer, input = t.input - 'n_ctx' || %(input)s::jsonb,
    state = 'ready', run_at = NULL, budgeted = t.budgeted OR %(budgeted)s::boolean,
    time_limit_ms = CASE
        WHEN t.time_limit_ms IS NULL OR t.time_limit_ms = (
            SELECT (c.costs ->> 'seconds')::int * 1000 FROM lmx.calls c WHERE c.task_id = t.id)
        THEN (%(time_limit)s::float8 * 1000)::int ELSE t.time_limit_ms END,
    rank = CASE WHEN t.queue = q.name THEN t.rank
                ELSE nextval('lmx.lane') + q.lane_offset - t.priority * 1000.0 END
FROM lmx.queues q
WHERE q.name = %(queue)s AND t.id = %(id)s AND t.queue = %(from_queue)s
  AND (t.state = 'ready' OR t.state = 'scheduled' AND t.run_at < 'infinity' AND EXISTS (
           SELECT FROM lmx.calls c WHERE c.task_id = t.id AND c.deferred IS NOT NULL))
  AND t.pool_id IS NOT DISTINCT FROM %(from_pool)s::integer
RETURNING t.id, pg_notify('lmx:' || q.name, '')
