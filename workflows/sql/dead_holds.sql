-- End the holds whose command is gone (`gone`) or whose lease has run out. Rows back: their ids.
-- After the server has started, all have a whole lease to come back: nobody could beat meanwhile.
DELETE FROM lmx.vram_holds
WHERE id = ANY(%(gone)s::bigint[])
   OR greatest(expires_at, pg_postmaster_start_time() + (expires_at - seen_at)) < clock_timestamp()
RETURNING id
