-- Keep the results (base64) of Dramatiq messages under their keys, on behalf of leased tasks.
WITH given AS (
    SELECT d.*
    FROM jsonb_to_recordset(%(ops)s::jsonb)
         AS d(op int, id bigint, seq int, key text, data text, ttl float8)
    JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
), kept AS (
    INSERT INTO lmx.results (key, data, expires_at)
    SELECT DISTINCT ON (key) key, decode(data, 'base64'),
           clock_timestamp() + make_interval(secs => ttl)
    FROM given ORDER BY key, op DESC
    ON CONFLICT (key) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at
)
SELECT op FROM given
