-- Give a hold's bytes back.
WITH ended AS (DELETE FROM lmx.vram_holds WHERE id = %(hold)s RETURNING id)
SELECT pg_notify('lmx:holds', '') FROM ended
