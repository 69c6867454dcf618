-- Create children of leased coordinators, each with its place in the fair order of its queue.
-- A child that exists already (same parent and key) stays as it is. In a paused run a child is
-- shelved (scheduled for the time 'infinity'). Rows back: op, key, id.
WITH given AS (
    SELECT d.*, t.root_id, t.nesting AS room, coalesce(r.weight, 1) AS weight,
           coalesce(r.paused, false) AND d.delay IS NULL AS shelved
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, key text, name text, queue text, role lmx.task_role,
              nesting smallint, priority smallint, cost float8, delay float8, max_attempts smallint,
              time_limit_ms int, timeout float8, budgeted boolean, input jsonb)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
    LEFT JOIN lmx.runs r ON r.id = t.root_id
), queue_rows AS (
    INSERT INTO lmx.queues (name)
    SELECT DISTINCT queue FROM given
    WHERE NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = given.queue)
    ON CONFLICT DO NOTHING
), placed AS (
    SELECT g.*, nextval('lmx.task_ids') AS child,
           greatest(coalesce(l.pass, 0), coalesce(q.vtime, 0)) + sum(g.cost / g.weight)
               OVER (PARTITION BY g.root_id, g.queue ORDER BY g.op, g.key) AS pass
    FROM given g
    LEFT JOIN lmx.queues q ON q.name = g.queue
    LEFT JOIN lmx.lanes l ON l.run_id = g.root_id AND l.queue = g.queue
), born AS (
    INSERT INTO lmx.tasks (id, root_id, parent_id, parent_role, key, role, nesting, queue, name,
                           state, run_at, rank, priority, max_attempts, time_limit_ms, deadline,
                           budgeted, input)
    SELECT child, root_id, id, 'coordinator', key, role,
           CASE role WHEN 'worker' THEN 0 ELSE least(nesting, room - 1) END, queue, name,
           CASE WHEN delay IS NULL AND NOT shelved THEN 'ready'
                ELSE 'scheduled' END::lmx.task_state,
           CASE WHEN shelved THEN 'infinity' ELSE now() + make_interval(secs => delay) END,
           pass - priority * 1000.0, priority, max_attempts,
           time_limit_ms, now() + make_interval(secs => timeout), budgeted, input
    FROM placed
    ON CONFLICT (parent_id, key) WHERE parent_id IS NOT NULL DO NOTHING
    RETURNING id, parent_id, key, root_id, queue, rank, priority
), advanced AS (
    INSERT INTO lmx.lanes (run_id, queue, pass)
    SELECT root_id, queue, max(rank + priority * 1000.0) FROM born GROUP BY root_id, queue
    ON CONFLICT (run_id, queue) DO UPDATE SET pass = greatest(lanes.pass, excluded.pass)
), told AS (
    SELECT pg_notify('lmx:' || b.queue, coalesce(b.delay::text, ''))
    FROM (SELECT DISTINCT born.queue, p.delay FROM born
          JOIN placed p ON p.child = born.id) b
)
SELECT g.op, g.key, coalesce(b.id, c.id) AS id, b.id IS NOT NULL AS fresh,
       (SELECT count(*) FROM told) AS told
FROM given g
LEFT JOIN born b ON b.parent_id = g.id AND b.key = g.key
LEFT JOIN lmx.tasks c ON c.parent_id = g.id AND c.key = g.key
