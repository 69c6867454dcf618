-- Tasks leased by workers that are dead, with the budget units that their attempts hold.
SELECT t.id, t.lease_seq, t.parent_id, t.deliveries, t.worker_id, t.budgeted,
       ARRAY(SELECT h.unit FROM lmx.holds h WHERE h.task_id = t.id) AS units
FROM lmx.workers w
JOIN lmx.tasks t ON t.worker_id = w.id AND t.state = 'leased'
WHERE w.stopped_at IS NOT NULL AND w.stopped_at > clock_timestamp() - interval '1 day'
ORDER BY t.id
LIMIT 500
