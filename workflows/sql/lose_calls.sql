-- Tell pools that nobody will hear of these calls any more, which somebody has ended who did not make
-- them: the provider may have counted them until now, or when it was first heard, if it was. It counts for
-- what the pools share, too.
INSERT INTO lmx.pool_news (pool_id, task_id, kind, data)
SELECT about.id, c.task_id, 'lost', jsonb_build_object(
           'charged_at', c.charged_at, 'estimate', c.charged,
           'heard_at', c.charged_at + (t.progress ->> 'heard_s')::float8 * p.clock_rate)
FROM lmx.calls c JOIN lmx.tasks t ON t.id = c.task_id JOIN lmx.pools p ON p.id = c.pool_id
CROSS JOIN LATERAL (VALUES (p.id), (p.shared_id)) AS about(id)
WHERE c.task_id = ANY(%(ids)s::bigint[]) AND c.charged_at IS NOT NULL AND about.id IS NOT NULL
