-- Keep what had come of answers whose calls have ended before these were whole, under the task's
-- error (`partial` NULL: what was shown of it last), until the task is claimed again. A holder whose
-- lease an outsider has ended, by a cancel or at a deadline, may still tell it. Rows back: the ops
-- that had something to keep.
UPDATE lmx.tasks t
SET error = coalesce(t.error, '{}')
        || jsonb_build_object('partial answer', coalesce(d.partial, t.progress -> 'partial answer')),
    progress = t.progress - 'partial answer'
FROM jsonb_to_recordset(%(ops)s::jsonb)
     AS d(op int, id bigint, seq int, partial jsonb, attempts int)
WHERE t.id = d.id AND coalesce(d.partial, t.progress -> 'partial answer') IS NOT NULL
  AND (t.lease_seq = d.seq AND t.state <> 'succeeded'
       OR t.lease_seq = d.seq + 1 AND t.state IN ('failed', 'cancelled')
          AND t.attempts = d.attempts)
RETURNING d.op
