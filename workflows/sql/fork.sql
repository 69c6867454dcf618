-- Start a run that has done what another had done before one of its steps: the steps recorded
-- before it, the children spawned before it that have succeeded, the signals that had come, and
-- the working memory as it stands. Its budgets are as large as the other's were. `lease_seq` 1, as
-- if it had been claimed before, tells whoever claims it that there is a history. Row back: its id.
WITH source AS (
    SELECT t.*, coalesce(r.weight, 1) AS weight, c.at AS cut
    FROM lmx.tasks t
    JOIN lmx.checkpoints c ON c.task_id = t.id AND c.name = %(step)s
    LEFT JOIN lmx.runs r ON r.id = t.id
    WHERE t.id = %(run)s
), root AS (
    INSERT INTO lmx.tasks (id, root_id, role, nesting, queue, name, state, rank, priority,
                           max_attempts, time_limit_ms, deadline, budgeted, lease_seq, input)
    SELECT n.id, n.id, s.role, s.nesting, s.queue, s.name, 'ready',
           n.lane + q.lane_offset - s.priority * 1000.0, s.priority, s.max_attempts,
           s.time_limit_ms, clock_timestamp() + (s.deadline - s.created_at), s.budgeted, 1, s.input
    FROM source s
    JOIN lmx.queues q ON q.name = s.queue,
         (SELECT nextval('lmx.task_ids') AS id, nextval('lmx.lane') AS lane) n
    RETURNING id, queue
), share AS (
    INSERT INTO lmx.runs (id, weight, forked_from)
    SELECT root.id, s.weight, s.id FROM root, source s
), money AS (
    INSERT INTO lmx.budgets (task_id, unit, ceiling, reserve, lost)
    SELECT root.id, b.unit, b.ceiling, b.reserve, b.lost
    FROM root, lmx.budgets b WHERE b.task_id = %(run)s
), steps AS (
    INSERT INTO lmx.checkpoints (task_id, name, output, at)
    SELECT root.id, c.name, c.output, c.at
    FROM root, source s JOIN lmx.checkpoints c ON c.task_id = s.id AND c.at < s.cut
), children AS (
    INSERT INTO lmx.tasks (id, root_id, parent_id, parent_role, key, role, nesting, queue, name,
                           state, created_at, started_at, finished_at, priority, max_attempts,
                           attempts, input, output, usage)
    SELECT nextval('lmx.task_ids'), root.id, root.id, 'coordinator', c.key, c.role, c.nesting,
           c.queue, c.name, c.state, c.created_at, c.started_at, c.finished_at, c.priority,
           c.max_attempts, c.attempts, c.input, c.output, c.usage
    FROM root, source s
    JOIN lmx.tasks c ON c.parent_id = s.id AND c.created_at <= s.cut AND c.state = 'succeeded'
), received AS (
    INSERT INTO lmx.signals (task_id, name, seq, payload, at)
    SELECT root.id, g.name, g.seq, g.payload, g.at
    FROM root, source s JOIN lmx.signals g ON g.task_id = s.id AND g.at < s.cut
), remembered AS (
    INSERT INTO lmx.memory (run_id, key, value, version)
    SELECT root.id, m.key, m.value, m.version FROM root, lmx.memory m WHERE m.run_id = %(run)s
)
SELECT id, pg_notify('lmx:' || queue, '') FROM root
