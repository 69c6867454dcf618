"""Images and files that messages refer to: what they are, what they cost, where they are kept."""
