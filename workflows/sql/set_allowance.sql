-- Set an allowance, or change it. Its present period goes on with what was spent of it, to the end
-- that the calendar of the zone gives it; its ceiling stays above what is spent and held already.
-- Row back: its id.
WITH rule AS (
    INSERT INTO lmx.allowances (scope, unit, per, zone, ceiling, origin)
    VALUES (%(scope)s, %(unit)s, %(per)s, %(zone)s, %(ceiling)s, %(origin)s)
    ON CONFLICT (scope, unit, per) DO UPDATE
    SET zone = excluded.zone, ceiling = excluded.ceiling, origin = excluded.origin, active = true
    RETURNING *
), changed AS (
    UPDATE lmx.allowance_periods p
    SET ceiling = greatest(r.ceiling, p.spent + p.held),
        ends_at = CASE WHEN r.per <> 'total'
                       THEN (date_trunc(r.per, now() AT TIME ZONE r.zone)
                             + ('1 ' || r.per)::interval) AT TIME ZONE r.zone END
    FROM rule r
    WHERE p.allowance_id = r.id AND p.starts_at <= now() AND (p.ends_at IS NULL OR now() < p.ends_at)
)
SELECT id FROM rule
