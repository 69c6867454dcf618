"""The commands, one module per group. Each has `add_to(app)`, which registers its commands."""
