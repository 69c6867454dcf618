"""The engine under everything at once, for half an hour: `make soak-engine`.

A process (child.py) runs an engine under a tight cap for many clients at once: conversations,
cancellations, deadlines, consumers that stop reading, holds, pins, bad requests. Its parent
(__main__.py) lets it close, or kills it, and starts the next on the same spill directory. Every
answer in deterministic mode must equal the one that a fresh engine gave to that question alone
(solo.py), and whenever the engine rests or is closed nothing may be left over (checks.py).
"""
