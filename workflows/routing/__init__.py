"""Routing: which model takes a call, by rules in TOML of which the first that matches wins.

`decide` is a pure function of the call's features, the rules and what is known of the models now;
`planning` reads the rest and plans the call, `records` writes down what was decided and why, and
`rerouting` moves calls whose rule does not let them wait, and `diverting` those that have failed
for a reason of their model or account.
"""
