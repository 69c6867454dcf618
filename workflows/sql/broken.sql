-- Of a pool `p`: its breaker is open, on its own clock.
coalesce((p.state -> 'breaker' ->> 'until')::float8, 0) > extract(epoch FROM p.clock_origin)
    + extract(epoch FROM clock_timestamp() - p.clock_origin) * p.clock_rate
