-- Let locked calls wait for the end of a period: no allowance has room for them before. They are out
-- of their pool's way meanwhile.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(calls)s::jsonb) AS d(task bigint, until float8, reason text)
), put AS (
    UPDATE lmx.tasks t SET state = 'scheduled', run_at = to_timestamp(g.until)
    FROM given g WHERE t.id = g.task AND t.state = 'ready'
    RETURNING t.id, g.reason
)
UPDATE lmx.calls c SET deferred = put.reason FROM put WHERE c.task_id = put.id
