-- Record step results of leased coordinators. A result already recorded stays as it is. Rows back:
-- op, and whether it is this result that is recorded.
WITH given AS (
    SELECT d.*, t.id IS NOT NULL AS ours
    FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(op int, id bigint, seq int, name text, output jsonb)
    LEFT JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), recorded AS (
    INSERT INTO lmx.checkpoints (task_id, name, output)
    SELECT id, name, output FROM given WHERE ours
    ON CONFLICT DO NOTHING
    RETURNING task_id, name
)
SELECT g.op, r.task_id IS NOT NULL AS fresh
FROM given g LEFT JOIN recorded r ON r.task_id = g.id AND r.name = g.name
WHERE g.ours
