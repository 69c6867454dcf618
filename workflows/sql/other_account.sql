-- The pool of another account for a call that has failed in the pool `pool`, if it has attempts left (where
-- that `counts` as one): one that is served and well, the fewest waiting; with the names of both pools.
SELECT p.id, here.name, p.name
FROM lmx.tasks t
JOIN lmx.calls c ON c.task_id = t.id
JOIN lmx.pools here ON here.id = t.pool_id
JOIN lmx.pools p ON p.provider = here.provider AND p.model_group = here.model_group
    AND p.account <> here.account
WHERE t.id = %(task)s AND t.pool_id = %(pool)s
  AND (NOT %(counts)s OR t.attempts + 1 < t.max_attempts)
  AND strpos(p.queue, '/') = 0
  AND NOT EXISTS (SELECT FROM jsonb_array_elements(p.limits) l
                  WHERE (c.costs ->> (l ->> 'of'))::bigint > (l ->> 'limit')::bigint)
  AND
-- :include attended
  AND NOT
-- :include broken
ORDER BY (SELECT count(*) FROM lmx.tasks w WHERE w.pool_id = p.id AND w.state = 'ready'), p.id
LIMIT 1
