-- Each pool `p` on its own clock: the time at `clock.now` (`own.now`), and its rows of `news`
-- (`told.news`), the oldest first, as [kind, at, task_id, data].
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM p.clock_origin)::float8
               + extract(epoch FROM clock.now - p.clock_origin)::float8 * p.clock_rate AS now
) own
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_array(
               n.kind, extract(epoch FROM p.clock_origin)::float8
                   + extract(epoch FROM n.at - p.clock_origin)::float8 * p.clock_rate,
               n.task_id, n.data) ORDER BY n.id), '[]') AS news
    FROM news n WHERE n.pool_id = p.id
) told
