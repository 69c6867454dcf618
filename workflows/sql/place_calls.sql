-- Put calls into their pools: new ones, known by their id or by their parent and key, and those that
-- go elsewhere because their pool made them wait. What runs or has ended stays where it is.
WITH given AS (
    SELECT coalesce(d.id, t.id) AS id, d.pool_id, d.model, d.costs
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(id bigint, parent_id bigint, key text, pool_id integer, model text, costs jsonb)
    LEFT JOIN lmx.tasks t ON t.parent_id = d.parent_id AND t.key = d.key
), placed AS (
    UPDATE lmx.tasks t SET pool_id = g.pool_id, queue = p.queue
    FROM given g JOIN lmx.pools p ON p.id = g.pool_id
    WHERE t.id = g.id AND t.state IN ('ready', 'scheduled')
    RETURNING t.id, g.pool_id, g.model, g.costs, t.queue
)
INSERT INTO lmx.calls (task_id, pool_id, model, costs)
SELECT id, pool_id, model, costs FROM placed
ON CONFLICT (task_id) DO UPDATE
SET pool_id = excluded.pool_id, model = excluded.model, costs = excluded.costs
RETURNING task_id, pg_notify('lmx:' || (SELECT queue FROM lmx.pools p WHERE p.id = calls.pool_id), '')
