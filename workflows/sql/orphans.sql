-- Tasks leased by workers that are dead, with the units that their attempts hold, and
-- whether they have recorded a step since their claim.
SELECT t.id, t.lease_seq, t.parent_id, t.deliveries, t.worker_id, t.budgeted,
       ARRAY(SELECT h.unit FROM lmx.holds h WHERE h.task_id = t.id
             UNION SELECT a.unit FROM lmx.allowance_holds a
             WHERE a.task_id = t.id AND a.cost IS NULL) AS units,
       EXISTS (SELECT FROM lmx.checkpoints c WHERE c.task_id = t.id AND c.at > t.started_at)
           AS progressed
FROM lmx.tasks t
JOIN lmx.workers w ON w.id = t.worker_id
WHERE t.state = 'leased' AND w.stopped_at IS NOT NULL
ORDER BY t.id
LIMIT 500
