-- Lock the present periods of the allowances of these accounts and of all calls (`*`), in the order
-- of the allowances. They are the last that a claim locks. Rows back: the periods.
SELECT p.id FROM lmx.allowances a JOIN lmx.allowance_periods p ON p.allowance_id = a.id
WHERE a.active AND (a.scope = '*' OR a.scope = ANY(%(accounts)s::text[]))
  AND p.starts_at <= (SELECT clock_timestamp())
  AND (p.ends_at IS NULL OR (SELECT clock_timestamp()) < p.ends_at)
ORDER BY a.id
FOR NO KEY UPDATE OF p
