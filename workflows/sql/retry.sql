-- Give leased tasks back after a failed attempt (or one that does not count: `tried` 0), to run
-- again after `delay` seconds; `message` (base64), where given, replaces theirs.
UPDATE lmx.tasks t
SET state = CASE WHEN d.delay > 0 THEN 'scheduled' ELSE 'ready' END::lmx.task_state,
    run_at = CASE WHEN d.delay > 0 THEN clock_timestamp() + make_interval(secs => d.delay) END,
    worker_id = NULL, deliveries = 0, attempts = least(t.attempts + coalesce(d.tried, 1), 32767),
    error = coalesce(d.error || jsonb_strip_nulls(
                         jsonb_build_object('partial answer', t.error -> 'partial answer')), t.error),
    usage = coalesce(d.usage, t.usage),
    message = coalesce(decode(d.message, 'base64'), t.message)
FROM jsonb_to_recordset(%(ops)s::jsonb)
     AS d(op int, id bigint, seq int, delay float8, error jsonb, usage jsonb, message text, tried int)
WHERE t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
RETURNING d.op, pg_notify('lmx:' || t.queue, CASE WHEN d.delay > 0 THEN d.delay::text ELSE '' END)
