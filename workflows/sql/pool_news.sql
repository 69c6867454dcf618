-- Tell pools what became of their calls, fenced by the leases. Real usage comes with the estimate
-- that it replaces, the time at which that was charged, and when the provider was first heard: so
-- many seconds of ours after the charge.
WITH told AS (
    INSERT INTO lmx.pool_news (pool_id, task_id, kind, data)
    SELECT c.pool_id, d.id, d.kind,
           CASE WHEN d.kind IN ('used', 'lost')
               THEN d.data || jsonb_build_object('bound', c.costs, 'estimate', c.charged,
                                                 'charged_at', c.charged_at,
                                                 'heard_at', c.charged_at
                   + coalesce((d.data ->> 'heard_after_s')::float8, 0) * p.clock_rate)
               ELSE d.data END
    FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, seq int, kind text, data jsonb)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
    JOIN lmx.calls c ON c.task_id = d.id
    JOIN lmx.pools p ON p.id = c.pool_id
    RETURNING pool_id
)
SELECT pg_notify('lmx:' || queue, '') FROM (
    SELECT DISTINCT p.queue FROM told JOIN lmx.pools p ON p.id = told.pool_id
) q
