-- Lock task rows in the one order that everybody uses: ascending id, so parents before children.
SELECT id FROM lmx.tasks WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE
