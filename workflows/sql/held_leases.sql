-- The leases that the database says a worker holds, beside those that it knows of: claims whose
-- answer was lost with a connection.
SELECT id, lease_seq FROM lmx.tasks
WHERE worker_id = %(worker)s AND state = 'leased' AND id <> ALL(%(known)s::bigint[])
