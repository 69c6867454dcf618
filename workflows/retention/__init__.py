"""Deletes what ended long ago, when a person asks for it or a setting says so.

docs/database.md tells what is kept; docs/decisions/0016 says why in this way.
"""
