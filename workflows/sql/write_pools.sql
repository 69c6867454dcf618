-- Write locked pools back: what they have counted, and when and why the next call may start.
-- `charged` says what the pool was charged for each call that it lets through, and for which time; nothing
-- for one that it can never let through.
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%(pools)s::jsonb)
        AS d(id integer, state jsonb, wait float8, reason text, now float8, charged jsonb)
), noted AS (
    UPDATE lmx.calls c
    SET charged_at = (one.value ->> 'at')::float8, charged = one.value -> 'costs', deferred = NULL
    FROM given g, jsonb_each(g.charged) one WHERE c.task_id = one.key::bigint
)
UPDATE lmx.pools p
SET state = g.state, waits_for = g.reason, updated_at = (SELECT clock_timestamp()),
    next_at = p.clock_origin + make_interval(
        secs => (g.now + g.wait - extract(epoch FROM p.clock_origin)::float8) / p.clock_rate)
FROM given g WHERE p.id = g.id
