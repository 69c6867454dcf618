-- Whether any call that waits is to be looked at again now: one look into an index if none is.
SELECT 1 FROM lmx.decisions WHERE again_at <= (SELECT clock_timestamp()) LIMIT 1
