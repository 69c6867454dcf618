-- Note which files tasks refer to: new tasks, known by their id or by their parent and key. A file
-- that is kept no more is left out; its call fails, saying so.
INSERT INTO lmx.task_files (task_id, sha256)
SELECT coalesce(d.id, t.id), f.sha256
FROM jsonb_to_recordset(%(ops)s::jsonb) AS d(id bigint, parent_id bigint, key text, sha256 text)
LEFT JOIN lmx.tasks t ON t.parent_id = d.parent_id AND t.key = d.key
JOIN lmx.files f ON f.sha256 = d.sha256
WHERE coalesce(d.id, t.id) IS NOT NULL
ON CONFLICT DO NOTHING
