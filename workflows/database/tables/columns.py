"""What all tables share: the metadata that holds them, and the types of their columns."""

from sqlalchemy import DateTime, Enum, MetaData
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(schema="lmx")

#: The states of a task, in the order of its life; the last three are final.
STATES = ("scheduled", "ready", "leased", "parked", "succeeded", "failed", "cancelled")
FINAL_STATES = STATES[-3:]
ROLES = ("coordinator", "worker")

STATE = Enum(*STATES, name="task_state", metadata=metadata)
ROLE = Enum(*ROLES, name="task_role", metadata=metadata)
TIME = DateTime(timezone=True)
JSON = JSONB(none_as_null=True)
