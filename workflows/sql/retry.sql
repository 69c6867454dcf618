-- Give leased tasks back after a failed attempt, to run again after `delay` seconds.
UPDATE lmx.tasks t
SET state = 'scheduled', run_at = clock_timestamp() + make_interval(secs => d.delay),
    worker_id = NULL, deliveries = 0, attempts = t.attempts + 1, error = d.error,
    usage = coalesce(d.usage, t.usage)
FROM jsonb_to_recordset(%(ops)s::jsonb)
     AS d(op int, id bigint, seq int, delay float8, error jsonb, usage jsonb)
WHERE t.id = d.id AND t.lease_seq = d.seq AND t.state = 'leased'
RETURNING d.op, pg_notify('lmx:' || t.queue, '')
