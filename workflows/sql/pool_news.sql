-- Tell pools what became of their calls, in this order, fenced by the leases. Real usage comes with the
-- estimate that it replaces, the time at which that was charged, and when the provider was first heard:
-- so many seconds of ours after the charge. It counts for what the pool shares, too, whose limits are
-- also told of refusals for them. Workers are woken only where a call may start sooner for it: some of
-- what a pool waits for, or the one whose limits it shares, was given back, or a breaker may close.
WITH told AS (
    INSERT INTO lmx.pool_news (pool_id, task_id, kind, data)
    SELECT about.pool_id, d.id, d.kind,
           CASE WHEN d.kind IN ('used', 'lost')
               THEN d.data || jsonb_build_object('bound', c.costs, 'estimate', c.charged,
                                                 'charged_at', c.charged_at,
                                                 'heard_at', c.charged_at
                   + coalesce((d.data ->> 'heard_after_s')::float8,
                              CASE d.kind WHEN 'used' THEN 0 END) * p.clock_rate)
               ELSE d.data END
    FROM ROWS FROM (jsonb_to_recordset(%(ops)s::jsonb) AS (id bigint, seq int, kind text, data jsonb))
        WITH ORDINALITY AS d(id, seq, kind, data, place)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
    JOIN lmx.calls c ON c.task_id = d.id
    JOIN lmx.pools p ON p.id = c.pool_id
    LEFT JOIN lmx.pools s ON s.id = p.shared_id
    CROSS JOIN LATERAL (VALUES
        (p.id, d.kind <> 'refused' OR s.id IS NULL OR NOT s.limits @> jsonb_build_array(
             jsonb_build_object('name', d.data ->> 'limit'))),
        (s.id, d.kind IN ('used', 'lost') OR d.kind = 'refused' AND s.limits @> jsonb_build_array(
             jsonb_build_object('name', d.data ->> 'limit')))
    ) AS about(pool_id, concerned)
    WHERE about.pool_id IS NOT NULL AND about.concerned
    ORDER BY d.place
    RETURNING pool_id, kind, data
)
SELECT pg_notify('lmx:' || queue, '') FROM (
    SELECT DISTINCT p.queue FROM told JOIN lmx.pools p ON told.pool_id IN (p.id, p.shared_id)
    WHERE told.kind = 'succeeded' AND p.state ? 'breaker'
       OR told.kind = 'used' AND p.waits_for IS NOT NULL AND NOT EXISTS (
           SELECT FROM lmx.pools one, jsonb_array_elements(one.limits) AS l
           WHERE one.id IN (p.id, p.shared_id) AND l ->> 'kind' <> 'share'
             AND starts_with(p.waits_for, (l ->> 'name') || ':')
             AND coalesce((told.data -> 'real' ->> (l ->> 'of'))::bigint, 0)
                 >= coalesce((told.data -> 'estimate' ->> (l ->> 'of'))::bigint, 0))
) q
