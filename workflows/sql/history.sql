-- What coordinators have recorded so far: steps, children and signals, for a replay. Without what had
-- come of a child's answer that never was whole: more of that may be told after the child's end.
SELECT 'step' AS kind, task_id, name, NULL::bigint AS child, NULL AS state, output::text, NULL AS error
FROM lmx.checkpoints WHERE task_id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT 'child', parent_id, key, id, state::text, output::text, (error - 'partial answer')::text
FROM lmx.tasks WHERE parent_id = ANY(%(ids)s::bigint[])
UNION ALL
SELECT 'signal', task_id, name || '#' || seq, NULL, NULL, payload::text, NULL
FROM lmx.signals WHERE task_id = ANY(%(ids)s::bigint[])
