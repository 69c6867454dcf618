-- Leased attempts that have run for longer than their time limit and `grace` seconds more.
SELECT id, lease_seq, parent_id, attempts, max_attempts, time_limit_ms FROM lmx.tasks
WHERE state = 'leased' AND time_limit_ms IS NOT NULL
  AND started_at < clock_timestamp() - make_interval(secs => time_limit_ms / 1000.0 + %(grace)s)
ORDER BY id LIMIT 500
