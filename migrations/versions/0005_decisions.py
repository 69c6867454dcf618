"""What was decided for calls that routes choose models for, and why."""

from alembic import op

revision = "0005"
down_revision = "0004"

DDL = """
-- One row for each time that a model was chosen for a call (`reason`: submitted, rerouted). The
-- features are those that rules see; candidates are [{model, pool, verdict, reason, cost, wait_s}]
-- in the order in which they were preferred. `terms` and `models` are the rule's, by which a call
-- that waits may be moved: it is looked at again at `again_at`. `cost` is the most that the chosen
-- model can cost for it, in nano-dollars.
CREATE TABLE lmx.decisions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id       bigint NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason        text NOT NULL,
    route         text NOT NULL,
    rule          text NOT NULL,
    rules_version text NOT NULL,
    model         text NOT NULL,
    pool          text,
    cost          bigint NOT NULL,
    why           text NOT NULL,
    features      jsonb NOT NULL,
    candidates    jsonb NOT NULL,
    terms         jsonb NOT NULL,
    models        jsonb NOT NULL,
    again_at      timestamptz
) WITH (fillfactor = 90);
CREATE INDEX decisions_task ON lmx.decisions (task_id, id);
CREATE INDEX decisions_at ON lmx.decisions (at);
CREATE INDEX decisions_due ON lmx.decisions (again_at) WHERE again_at IS NOT NULL;

-- Decisions with what became of them, for whoever compares and calibrates. `last` tells whether the
-- model chosen then is the one that made the call; only then the outcome is that of the decision.
CREATE VIEW lmx.decision_outcomes AS
SELECT d.id, d.task_id, d.at, d.reason, d.route, d.rule, d.rules_version, d.model, d.pool,
       d.cost AS worst_case, d.features, d.candidates,
       NOT EXISTS (SELECT FROM lmx.decisions later
                   WHERE later.task_id = d.task_id AND later.id > d.id) AS last,
       t.state, t.attempts, t.output ->> 'finish_reason' AS finish_reason,
       (t.usage ->> 'cost')::bigint AS spent,
       (t.usage ->> 'prompt_tokens')::bigint AS prompt_tokens,
       (t.usage ->> 'completion_tokens')::bigint AS completion_tokens,
       extract(epoch FROM t.finished_at - d.at)::float8 AS latency_s
FROM lmx.decisions d JOIN lmx.tasks t ON t.id = d.task_id;
"""


def upgrade() -> None:
    """Create the table and the view."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP VIEW lmx.decision_outcomes")
    op.execute("DROP TABLE lmx.decisions")
