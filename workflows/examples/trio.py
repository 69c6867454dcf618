"""Three agents on one piece of work, each on a model of its own: code, security review, manual.

LMX_WORKFLOWS=lmx.workflows.examples.trio lmx up
lmx run trio 'specification=...' 'models={"coder": "a", "reviewer": "b", "writer": "c"}'
"""

from collections.abc import Mapping
from typing import Any

from lmx.workflows import Context, coordinator
from lmx.workflows.coordinators import Child

SYSTEM = {
    "coder": "You are a Python programmer. Answer with code only.",
    "reviewer": "You are a security reviewer. Name concrete risks, briefly.",
    "writer": "You write user manuals. Write plain sentences for a beginner.",
}


@coordinator
def trio(
    ctx: Context, specification: str, models: Mapping[str, str], max_tokens: int = 80
) -> dict[str, str]:
    """Let three agents work on a specification at once, then have the code itself reviewed.

    `models` names the model of each agent: coder, reviewer, writer.
    """

    def ask(agent: str, key: str, task: str) -> Child[dict[str, Any]]:
        return ctx.generate(
            key=key,
            model=models[agent],
            messages=[
                {"role": "system", "content": SYSTEM[agent]},
                {"role": "user", "content": task},
            ],
            max_tokens=max_tokens,
            temperature=0.2,
            seed=7,
        )

    code, risks, manual = ctx.gather(
        ask("coder", "coder", f"Write this function:\n{specification}"),
        ask("reviewer", "reviewer", f"What could an attacker do here?\n{specification}"),
        ask("writer", "writer", f"Explain to a user what this does:\n{specification}"),
    )
    [review] = ctx.gather(
        ask("reviewer", "code review", f"Find the security problems:\n{code['text']}")
    )
    return ctx.step("report", assemble, code, risks, review, manual)


def assemble(
    code: Mapping[str, Any],
    risks: Mapping[str, Any],
    review: Mapping[str, Any],
    manual: Mapping[str, Any],
) -> dict[str, str]:
    """Put the agents' answers together into one report."""
    return {
        "code": code["text"].strip(),
        "security": f"{risks['text'].strip()}\n\n{review['text'].strip()}",
        "manual": manual["text"].strip(),
    }
