-- The pools in which calls of a model group can count: how many wait in each, and in how many seconds
-- one may start. The one that is free soonest comes first; those last that nobody serves now, or whose
-- breaker is open.
SELECT p.id, p.name, p.provider || '/' || p.account, p.queue,
       (SELECT count(*) FROM lmx.tasks t WHERE t.pool_id = p.id AND t.state = 'ready') AS ready,
       greatest(0, coalesce(extract(epoch FROM p.next_at - clock_timestamp())::float8, 0)) AS next_in
FROM lmx.pools p
WHERE p.provider = %(provider)s AND p.model_group = %(group)s
ORDER BY NOT
-- :include attended
,
-- :include broken
, ready, next_in, p.id
