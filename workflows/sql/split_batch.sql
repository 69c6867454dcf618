-- Move the later half of a batch's open calls into a new batch with another token.
WITH open AS (
    SELECT task_id, lease_seq, row_number() OVER (ORDER BY task_id) AS place, count(*) OVER () AS n
    FROM lmx.batch_calls WHERE batch_id = %(batch)s AND outcome IS NULL
), half AS (
    SELECT task_id, lease_seq FROM open WHERE place > n / 2
), made AS (
    INSERT INTO lmx.batches (pool_id, model, token, state, calls, tokens, next_at)
    SELECT b.pool_id, b.model, %(token)s, 'sending', (SELECT count(*) FROM half), b.tokens / 2,
           clock_timestamp()
    FROM lmx.batches b WHERE b.id = %(batch)s
    RETURNING id
), moved AS (
    UPDATE lmx.batch_calls c SET batch_id = made.id FROM made, half
    WHERE c.task_id = half.task_id AND c.lease_seq = half.lease_seq
    RETURNING c.task_id
)
UPDATE lmx.batches b
SET calls = b.calls - (SELECT count(*) FROM moved), tokens = b.tokens - b.tokens / 2,
    worker_id = NULL, deliveries = 0, sent_at = NULL, next_at = clock_timestamp()
WHERE b.id = %(batch)s
