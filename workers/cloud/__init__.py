"""What the workers of all model providers share: the claim under limits, calls, their outcomes."""
