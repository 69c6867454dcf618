-- Unfinished tasks whose deadline has passed, the most overdue first.
SELECT id FROM lmx.tasks
WHERE deadline <= clock_timestamp() AND finished_at IS NULL
ORDER BY deadline LIMIT 500
