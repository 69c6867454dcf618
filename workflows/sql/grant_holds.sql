-- Grant holds: their bytes are booked.
WITH granted AS (
    UPDATE lmx.vram_holds SET granted_at = clock_timestamp()
    WHERE id = ANY(%(holds)s::bigint[]) AND granted_at IS NULL
    RETURNING id
)
SELECT pg_notify('lmx:holds', '') FROM granted
