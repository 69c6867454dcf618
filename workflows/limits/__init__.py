"""Rate limits as pure functions: what may start now, and when the next call may.

A pool (provider + account + model group) has any number of limits. Each is a `Meter` over a small
JSON state that lives in the pool's row; `admission` decides with all of them, `folding` takes in
what was learnt since. Nothing here reads a clock or touches the database: `now` is always given, in
seconds since the epoch on the pool's own clock.
"""
