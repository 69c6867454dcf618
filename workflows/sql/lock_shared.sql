-- Lock what locked pools share, in the order of ids. It is always locked after its pools.
SELECT id FROM lmx.pools WHERE id = ANY(%(ids)s::integer[]) ORDER BY id FOR NO KEY UPDATE
