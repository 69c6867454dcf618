-- Put the shelved tasks among `ids` back into their queues, in their old order, from the queue's
-- present place on: the time that they were shelved gives their run no lead over others.
WITH shelved AS (
    SELECT t.id, t.queue, t.rank,
           greatest(0, q.vtime - min(t.rank) OVER (PARTITION BY t.queue)) AS shift
    FROM lmx.tasks t JOIN lmx.queues q ON q.name = t.queue
    WHERE t.id = ANY(%(ids)s::bigint[]) AND t.state = 'scheduled' AND t.run_at = 'infinity'
), back AS (
    UPDATE lmx.tasks t SET state = 'ready', run_at = NULL, rank = s.rank + s.shift
    FROM shelved s WHERE t.id = s.id
    RETURNING t.root_id, t.queue, t.rank, t.priority
), lanes AS (
    UPDATE lmx.lanes l SET pass = greatest(l.pass, b.pass)
    FROM (SELECT root_id, queue, max(rank + priority * 1000.0) AS pass FROM back
          GROUP BY root_id, queue) b
    WHERE l.run_id = b.root_id AND l.queue = b.queue
), told AS (
    SELECT pg_notify('lmx:' || queue, '') FROM (SELECT DISTINCT queue FROM back) q
)
SELECT count(*), (SELECT count(*) FROM told) AS told FROM back
