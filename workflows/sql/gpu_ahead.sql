-- What waits for local models before a newcomer, or before a call of the rank `rank` that waits there
-- already: how many calls, counted up to 10,000; how many run; how many seconds the latest took on the
-- average (of the last 200 tasks of any kind); whether a live worker serves the queue, which is not
-- paused.
SELECT (SELECT count(*) FROM (
           SELECT FROM lmx.tasks t WHERE t.queue = %(queue)s AND t.state = 'ready'
             AND (%(rank)s::float8 IS NULL OR t.rank < %(rank)s::float8) LIMIT 10000) w) AS ahead,
       (SELECT count(*) FROM lmx.tasks t JOIN lmx.workers w ON w.id = t.worker_id
        WHERE t.state = 'leased' AND t.queue = %(queue)s) AS running,
       (SELECT coalesce(avg(extract(epoch FROM t.finished_at - t.started_at)), 0)::float8 FROM (
           SELECT queue, state, started_at, finished_at FROM lmx.tasks ORDER BY id DESC LIMIT 200) t
        WHERE t.queue = %(queue)s AND t.state = 'succeeded') AS took_s,
       EXISTS (SELECT FROM lmx.workers w WHERE w.stopped_at IS NULL AND %(queue)s = ANY(w.queues)
                 AND w.expires_at > (SELECT clock_timestamp()))
       AND NOT EXISTS (SELECT FROM lmx.queues q WHERE q.name = %(queue)s AND q.paused) AS attended
