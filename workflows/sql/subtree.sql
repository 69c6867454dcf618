-- Whole trees: the unfinished tasks and all coordinators beneath the tops, the tops themselves,
-- and the tops' parents (`above`), which must be locked too. Finished workers are left out.
WITH RECURSIVE tree AS (
    SELECT id, parent_id, role, true AS top FROM lmx.tasks WHERE id = ANY(%(ids)s::bigint[])
    UNION ALL
    SELECT c.id, c.parent_id, c.role, false
    FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
    WHERE tree.role = 'coordinator' AND (c.finished_at IS NULL OR c.role = 'coordinator')
)
SELECT DISTINCT id, false AS above FROM tree
UNION ALL
SELECT DISTINCT parent_id, true FROM tree
WHERE top AND parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM tree)
