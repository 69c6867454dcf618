"""lmx beside LiteLLM's Router, against the same faithful provider: limits and a budget."""
