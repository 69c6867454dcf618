"""One key of tasks instead of two, and the latest runs by state without reading the history.

Every change of a task's state writes all of its row's indexes. The key (id, role), which the tree's
foreign key needs (a parent must be a coordinator), leads with the id and serves as the primary key
too. What it saves pays for the index of what is unfinished; docs/decisions has the measurement.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

DDL = """
ALTER TABLE lmx.tasks
    DROP CONSTRAINT tasks_parent,
    DROP CONSTRAINT tasks_id_role,
    DROP CONSTRAINT tasks_pkey,
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (id, role),
    ADD CONSTRAINT tasks_parent FOREIGN KEY (parent_id, parent_role)
        REFERENCES lmx.tasks (id, role);

CREATE INDEX tasks_open ON lmx.tasks (id) WHERE finished_at IS NULL AND parent_id IS NULL;
CREATE INDEX tasks_dead ON lmx.tasks (id)
    WHERE state IN ('failed', 'cancelled') AND parent_id IS NULL;
"""


def upgrade() -> None:
    """Replace the keys, add the two indexes."""
    op.execute(DDL)


def downgrade() -> None:
    """Undo it."""
    op.execute("""
        DROP INDEX lmx.tasks_open, lmx.tasks_dead;
        ALTER TABLE lmx.tasks
            DROP CONSTRAINT tasks_parent,
            DROP CONSTRAINT tasks_pkey,
            ADD CONSTRAINT tasks_pkey PRIMARY KEY (id),
            ADD CONSTRAINT tasks_id_role UNIQUE (id, role),
            ADD CONSTRAINT tasks_parent FOREIGN KEY (parent_id, parent_role)
                REFERENCES lmx.tasks (id, role);
    """)
