-- A task and the failed and cancelled tasks beneath it through failed or cancelled coordinators:
-- what must run again when it does.
WITH RECURSIVE tree AS (
    SELECT id, parent_id, role FROM lmx.tasks WHERE id = %(id)s
    UNION ALL
    SELECT c.id, c.parent_id, c.role
    FROM tree JOIN lmx.tasks c ON c.parent_id = tree.id
    WHERE tree.role = 'coordinator' AND c.state IN ('failed', 'cancelled')
)
SELECT id, parent_id FROM tree ORDER BY id
