"""The database floor: the embedded server, connections, the schema and its migrations."""
