-- Of a pool `p`: a live worker serves its queue, and has the key of its account (a queue of batches is
-- one account's).
EXISTS (SELECT FROM lmx.workers w
        WHERE w.stopped_at IS NULL AND w.expires_at > (SELECT clock_timestamp())
          AND p.queue = ANY(w.queues)
          AND (strpos(p.queue, '/') > 0 OR p.provider || '/' || p.account = ANY(w.queues)))
