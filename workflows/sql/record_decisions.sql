-- Write down decisions: of new calls, known by their id or by their parent and key (once for each),
-- and of calls that are moved. What is to be looked at again says after how many seconds.
INSERT INTO lmx.decisions (task_id, reason, route, rule, rules_version, model, pool, cost, why,
                           features, candidates, terms, models, again_at)
SELECT coalesce(d.id, t.id), d.reason, d.route, d.rule, d.version, d.model, d.pool, d.cost, d.why,
       d.features, d.candidates, d.terms, d.models,
       clock_timestamp() + make_interval(secs => d.again_in)
FROM jsonb_to_recordset(%(ops)s::jsonb)
     AS d(id bigint, parent_id bigint, key text, reason text, route text, rule text, version text,
          model text, pool text, cost bigint, why text, features jsonb, candidates jsonb,
          terms jsonb, models jsonb, again_in float8)
LEFT JOIN lmx.tasks t ON t.parent_id = d.parent_id AND t.key = d.key
WHERE d.reason <> 'submitted'
   OR NOT EXISTS (SELECT FROM lmx.decisions known WHERE known.task_id = coalesce(d.id, t.id))
