"""How a waiting coordinator leaves its slot."""


class Parked(BaseException):
    """Unwinds a coordinator whose row has been parked. Not an Exception: let it through.

    `finally` blocks on its way run at every wait; what must happen once belongs into a step.
    """


class LeaseLost(BaseException):
    """The task passed to somebody else, or was cancelled: nothing it does counts any more."""


class Unreachable(BaseException):
    """The database went away while a coordinator ran: its wake-up is repeated, and not counted."""
