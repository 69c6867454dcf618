-- Record step results of leased coordinators. A result already recorded stays as it is.
WITH given AS (
    SELECT d.*, t.id IS NOT NULL AS ours
    FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(op int, id bigint, seq int, name text, output jsonb)
    LEFT JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), recorded AS (
    INSERT INTO lmx.checkpoints (task_id, name, output)
    SELECT id, name, output FROM given WHERE ours
    ON CONFLICT DO NOTHING
)
SELECT op FROM given WHERE ours
