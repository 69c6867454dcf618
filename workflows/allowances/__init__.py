"""Allowances: what all calls, or those of one account, may spend in a day, a month or in all."""
