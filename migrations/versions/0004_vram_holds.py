"""Bytes of a device that are held for commands outside of lmx."""

from alembic import op

revision = "0004"
down_revision = "0003"

DDL = """
-- A command that has asked for bytes of a device (`lmx vram hold`). It runs from `granted_at` on;
-- its heartbeat prolongs `expires_at`, and the row goes when it ends or dies. `command` is the
-- program's name alone: arguments may be secret.
CREATE TABLE lmx.vram_holds (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device_id   bigint NOT NULL REFERENCES lmx.devices (id) ON DELETE CASCADE,
    command     text NOT NULL,
    bytes       bigint NOT NULL CHECK (bytes > 0),
    host        text NOT NULL,
    boot_id     text NOT NULL,
    pid         integer NOT NULL,
    pid_started double precision NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    granted_at  timestamptz,
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL
);
CREATE INDEX vram_holds_device ON lmx.vram_holds (device_id);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(DDL)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE lmx.vram_holds")
