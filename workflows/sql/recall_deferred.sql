-- Let all calls try again that wait for an allowance: it has changed.
WITH back AS (
    UPDATE lmx.tasks t SET run_at = clock_timestamp()
    FROM lmx.calls c
    WHERE c.deferred IS NOT NULL AND t.id = c.task_id AND t.state = 'scheduled'
      AND t.run_at < 'infinity'
    RETURNING t.queue
)
SELECT pg_notify('lmx:' || queue, '0') FROM (SELECT DISTINCT queue FROM back) q
