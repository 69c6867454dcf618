"""Calls that may wait a day for half the price: gathered, sent in batches, looked after, recorded.

A batch is a row. Its calls are parked: no process, slot or connection waits for them. Whatever
dies, the row says what is to be done next, and whoever is alive does it.
"""
