-- Unfinished tasks whose deadline has passed, the most overdue first. The time is asked
-- for once: a volatile function in the condition would have the whole index read.
SELECT id FROM lmx.tasks
WHERE deadline <= (SELECT clock_timestamp()) AND finished_at IS NULL
ORDER BY deadline LIMIT 500
