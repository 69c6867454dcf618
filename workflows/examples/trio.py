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
    """Let three agents work on a specification at once, then on what the others made of it.

    `models` names the model of each agent: coder, reviewer, writer. Each agent's turns are one
    session: what was said before is not computed again, not even where its memory was needed for
    another agent meanwhile.
    """
    coder, reviewer, writer = (
        Agent(ctx, name, models[name], max_tokens) for name in ("coder", "reviewer", "writer")
    )
    code, risks, manual = ctx.gather(
        coder.ask("coder", f"Write this function:\n{specification}"),
        reviewer.ask("reviewer", f"What could an attacker do here?\n{specification}"),
        writer.ask("writer", f"Explain to a user what this does:\n{specification}"),
    )
    for agent, answer in ((coder, code), (reviewer, risks), (writer, manual)):
        agent.heard(answer)
    [review] = ctx.gather(
        reviewer.ask("code review", f"Find the security problems:\n{code['text']}")
    )
    mended, summary = ctx.gather(
        coder.ask("mended code", f"Mend your function:\n{review['text']}"),
        writer.ask("summary", "Say it again in one sentence."),
    )
    return ctx.step("report", assemble, mended, risks, review, manual, summary)


class Agent:
    """One agent's conversation with its model."""

    def __init__(self, ctx: Context, name: str, model: str, max_tokens: int) -> None:
        self._ctx, self._name, self._model, self._max_tokens = ctx, name, model, max_tokens
        self._said = [{"role": "system", "content": SYSTEM[name]}]

    def ask(self, key: str, task: str) -> Child[dict[str, Any]]:
        """The next turn; its answer must be `heard` before the one after it."""
        self._said.append({"role": "user", "content": task})
        return self._ctx.generate(
            key=key,
            model=self._model,
            messages=self._said,
            max_tokens=self._max_tokens,
            temperature=0.2,
            seed=7,
            session=self._name,
        )

    def heard(self, answer: Mapping[str, Any]) -> None:
        """What the agent answered becomes part of its conversation."""
        self._said.append({"role": "assistant", "content": answer["text"]})


def assemble(
    code: Mapping[str, Any],
    risks: Mapping[str, Any],
    review: Mapping[str, Any],
    manual: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> dict[str, str]:
    """Put the agents' answers together into one report."""
    return {
        "code": code["text"].strip(),
        "security": f"{risks['text'].strip()}\n\n{review['text'].strip()}",
        "manual": f"{summary['text'].strip()}\n\n{manual['text'].strip()}",
    }
