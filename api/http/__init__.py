"""The REST API: submit work, follow it, control it. Loopback only, until there are tokens."""
