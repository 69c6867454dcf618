-- Prolong a hold. Row back: whether it is granted. No row back: it was ended.
UPDATE lmx.vram_holds
SET seen_at = clock_timestamp(),
    expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8)
WHERE id = %(hold)s
RETURNING granted_at IS NOT NULL
