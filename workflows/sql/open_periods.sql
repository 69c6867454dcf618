-- Begin the period of every allowance that has none now: the calendar's day or month in its zone.
INSERT INTO lmx.allowance_periods (allowance_id, starts_at, ends_at, ceiling)
SELECT a.id,
       CASE a.per WHEN 'total' THEN '2000-01-01T00:00:00Z'
            ELSE date_trunc(a.per, c.now AT TIME ZONE a.zone) AT TIME ZONE a.zone END,
       CASE WHEN a.per <> 'total'
            THEN (date_trunc(a.per, c.now AT TIME ZONE a.zone) + ('1 ' || a.per)::interval)
                 AT TIME ZONE a.zone END,
       a.ceiling
FROM lmx.allowances a, (SELECT clock_timestamp() AS now) c
WHERE a.active AND NOT EXISTS (
    SELECT FROM lmx.allowance_periods p
    WHERE p.allowance_id = a.id AND p.starts_at <= c.now AND (p.ends_at IS NULL OR c.now < p.ends_at))
ORDER BY a.id
ON CONFLICT DO NOTHING
