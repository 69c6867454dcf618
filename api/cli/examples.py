"""Help texts: the examples that stand below a command's options."""


def examples(*lines: str) -> str:
    """Return an epilog with one example per line."""
    shown = [line.replace("[", r"\[") for line in lines]
    return "\n\n".join(["Examples:", *(f"  {line}" for line in shown)])
