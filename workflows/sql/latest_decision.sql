-- A call that is being made, the latest decision of those that have put it where it is, if a route has
-- placed it, and whether its rule lets it be moved.
SELECT d.id, t.id, d.rule, d.rules_version, t.input ->> 'model', d.features, d.terms, d.models,
       t.parent_id, t.root_id, t.queue, t.pool_id, t.rank, t.input,
       coalesce((d.terms ->> 'divert')::boolean, false)
FROM lmx.tasks t LEFT JOIN lmx.decisions d ON d.task_id = t.id
WHERE t.id = %(task)s
ORDER BY d.id DESC NULLS LAST LIMIT 1
