-- Of a pool `p`: its breaker is open, on its own clock, or will be with the next claim.
(coalesce((p.state -> 'breaker' ->> 'until')::float8, 0) > extract(epoch FROM p.clock_origin)
     + extract(epoch FROM clock_timestamp() - p.clock_origin) * p.clock_rate
 OR EXISTS (SELECT FROM lmx.pool_news n WHERE n.pool_id = p.id AND n.kind = 'failed'
              AND n.data ->> 'kind' IN ('credentials', 'billing', 'spend_cap')))
