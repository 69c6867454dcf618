-- Write down that the provider has a batch that was to be sent, unless somebody knows of another one
-- that it has taken for it. Row back: the id that stands now.
WITH taken AS (
    UPDATE lmx.batches SET state = 'processing', provider_id = %(provider_id)s,
        expires_at = %(expires_at)s, candidates = NULL, worker_id = NULL, deliveries = 0, error = NULL,
        next_at = clock_timestamp() + make_interval(secs => %(pause)s)
    WHERE id = %(batch)s AND state = 'sending' AND provider_id IS NULL
    RETURNING provider_id
)
SELECT coalesce((SELECT provider_id FROM taken),
                (SELECT provider_id FROM lmx.batches WHERE id = %(batch)s))
