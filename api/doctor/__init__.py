"""`lmx doctor`: looks at everything that lmx needs, and says what to do about what is amiss."""

from lmx.api.doctor.check import Check, State
from lmx.api.doctor.run import examine

__all__ = ["Check", "State", "examine"]
