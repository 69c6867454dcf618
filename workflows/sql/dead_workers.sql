-- Declare workers dead whose id is in `gone` or, if `expired`, whose lease has run out. Rows back:
-- their ids.
-- After the server has started, all have a whole lease to come back: nobody could beat meanwhile.
UPDATE lmx.workers SET stopped_at = clock_timestamp()
WHERE id IN (SELECT id FROM lmx.workers
             WHERE stopped_at IS NULL
               AND (%(expired)s AND greatest(expires_at, pg_postmaster_start_time()
                                             + (expires_at - seen_at)) < clock_timestamp()
                    OR id = ANY(%(gone)s::bigint[]))
             ORDER BY id FOR UPDATE SKIP LOCKED)
RETURNING id
