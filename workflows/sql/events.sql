-- Append to the audit log; `seq`, where given, is the lease that the writer must still hold.
INSERT INTO lmx.events (run_id, task_id, kind, data)
SELECT t.root_id, d.id, d.kind, d.data
FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, seq int, kind text, data jsonb)
JOIN lmx.tasks t ON t.id = d.id AND t.lease_seq = coalesce(d.seq, t.lease_seq)
