-- Write (or, with `gone`, delete) keys of the working memory of leased tasks' runs.
WITH given AS (
    SELECT d.*, t.root_id
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, key text, value jsonb, gone boolean)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), removed AS (
    DELETE FROM lmx.memory m USING given g
    WHERE g.gone AND m.run_id = g.root_id AND m.key = g.key
), written AS (
    INSERT INTO lmx.memory (run_id, key, value)
    SELECT root_id, key, value FROM given WHERE NOT gone
    ON CONFLICT (run_id, key) DO UPDATE
    SET value = excluded.value, version = memory.version + 1, at = now()
)
SELECT op FROM given
