-- Write (or, with `gone`, delete) keys of the working memory of leased tasks' runs. A write whose
-- checkpoint `record` exists was done before: repeated after a lost connection, it must not undo
-- what others have written since.
WITH given AS (
    SELECT d.*, t.root_id,
           EXISTS (SELECT FROM lmx.checkpoints c WHERE c.task_id = d.id AND c.name = d.record)
               AS done
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, key text, value jsonb, gone boolean, record text)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), removed AS (
    DELETE FROM lmx.memory m USING given g
    WHERE g.gone AND NOT g.done AND m.run_id = g.root_id AND m.key = g.key
), written AS (
    INSERT INTO lmx.memory (run_id, key, value)
    SELECT root_id, key, value FROM given WHERE NOT gone AND NOT done
    ON CONFLICT (run_id, key) DO UPDATE
    SET value = excluded.value, version = memory.version + 1, at = now()
)
SELECT op FROM given
