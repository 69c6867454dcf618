-- Show what leased tasks say of themselves.
UPDATE lmx.tasks t SET progress = d.progress
FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, seq int, progress jsonb)
WHERE t.id = d.id AND t.lease_seq = d.seq AND t.worker_id IS NOT NULL
