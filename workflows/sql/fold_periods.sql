-- Move what was settled of locked periods from held to spent. A ceiling that was lowered beneath what
-- was held comes down as that is settled. Rows back: the periods with what is left of them.
WITH settled AS (
    DELETE FROM lmx.allowance_holds WHERE period_id = ANY(%(ids)s::bigint[]) AND cost IS NOT NULL
    RETURNING period_id, amount, cost
), sums AS (
    SELECT period_id, sum(amount) AS amount, sum(cost) AS cost FROM settled GROUP BY period_id
), folded AS (
    UPDATE lmx.allowance_periods p
    SET held = p.held - s.amount, spent = p.spent + s.cost,
        ceiling = greatest(least(p.ceiling, a.ceiling), p.spent + s.cost + p.held - s.amount)
    FROM sums s, lmx.allowances a WHERE p.id = s.period_id AND a.id = p.allowance_id
    RETURNING p.id, p.spent, p.held
)
SELECT p.id, a.scope, a.unit, a.per, a.zone, a.ceiling, coalesce(f.spent, p.spent),
       coalesce(f.held, p.held), extract(epoch FROM p.ends_at)::float8,
       extract(epoch FROM clock_timestamp())::float8
FROM lmx.allowance_periods p
JOIN lmx.allowances a ON a.id = p.allowance_id
LEFT JOIN folded f ON f.id = p.id
WHERE p.id = ANY(%(ids)s::bigint[])
ORDER BY a.id
