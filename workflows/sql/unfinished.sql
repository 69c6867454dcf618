-- The unfinished tasks of a run (or only its coordinators), as one array in ascending order.
WITH RECURSIVE tree AS (
    SELECT id, role, finished_at FROM lmx.tasks WHERE id = %(id)s
    UNION ALL
    SELECT c.id, c.role, c.finished_at
    FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
    WHERE tree.role = 'coordinator' AND (c.finished_at IS NULL OR c.role = 'coordinator')
)
SELECT array_agg(id ORDER BY id) FROM tree
WHERE finished_at IS NULL AND (role = 'coordinator' OR NOT %(coordinators)s)
