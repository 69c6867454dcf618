"""What a call says, from its submission over the worker to the provider's wire."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lmx.workers.process import WorkerProcess
from lmx.workflows import library
from lmx.workflows.attachments.store import list_files
from lmx.workflows.client import Client
from lmx.workflows.config import Settings
from lmx.workflows.coordinators import Context
from lmx.workflows.registry import coordinator
from tests.support.clouds import CLOUDS, Cloud, running, settings_of, worker_of
from tests.support.command import Lmx
from tests.support.media import pdf, png
from tests.support.rehearsed import Rehearsed

pytestmark = pytest.mark.leaves_open("the driver's threads end a little later than the worker")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "B"}'},
}
IMAGE, FILE = base64.b64encode(png()).decode(), base64.b64encode(pdf()).decode()
TURNS: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief.", "cache": True},
    {"role": "user", "content": "How is Bern?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {
        "role": "user",
        "content": [
            {"type": "image", "data": IMAGE},
            {"type": "image", "url": "https://example.org/b.png"},
            {"type": "file", "data": FILE, "name": "a.pdf"},
            {"type": "text", "text": "And this?"},
        ],
    },
]


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each provider in turn."""
    return CLOUDS[request.param]


@pytest.fixture
def served(client: Client, rehearsed: Rehearsed, tmp_path: Path, cloud: Cloud) -> Iterator[Cloud]:
    """The provider, whose worker serves."""
    with running(worker_of(cloud, client.database, tmp_path, rehearsed.url)):
        yield cloud


def sent(client: Client, rehearsed: Rehearsed, cloud: Cloud, **call: Any) -> dict[str, Any]:
    """The body of the request that a call becomes."""
    task = client.generate(model=cloud.model, **{"max_tokens": 4000, **call})
    assert client.result(task, timeout=20)["model"] == cloud.model
    body: dict[str, Any] = rehearsed.requests()[-1]
    return _in_camels(body) if cloud.provider == "gemini" else body


def _in_camels(value: Any) -> Any:
    """JSON with keys as Google documents them; its SDK sends some as protocol buffers have them."""
    if isinstance(value, list):
        return [_in_camels(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name[0] + name.title().replace("_", "")[1:] if "_" in name else name: _in_camels(one)
        for name, one in value.items()
    }


def test_turns_tools_images_and_files_reach_the_provider(
    client: Client, rehearsed: Rehearsed, served: Cloud
) -> None:
    options = {"tools": TOOLS, "tool_choice": "auto", "temperature": 0.5, "stop": ["END"]}
    body = sent(client, rehearsed, served, messages=TURNS, **options)
    EXPECTED[served.provider](body)
    assert body == sent(client, rehearsed, served, messages=TURNS, **options)


def anthropic(body: Any) -> None:
    mark = {"type": "ephemeral"}
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    user, assistant, again = body["messages"]
    assert user["content"] == [{"type": "text", "text": "How is Bern?"}]
    used = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "B"}}
    assert assistant == {"role": "assistant", "content": [used]}
    result, inline, linked, file, text = again["content"]
    assert (result["tool_use_id"], result["content"][0]["text"]) == ("c1", "sunny")
    assert inline["source"] == {"type": "base64", "media_type": "image/png", "data": IMAGE}
    assert linked["source"] == {"type": "url", "url": "https://example.org/b.png"}
    assert (file["type"], file["title"], file["source"]["data"]) == ("document", "a.pdf", FILE)
    assert text == {"type": "text", "text": "And this?"}
    assert body["tools"][0]["input_schema"] == WEATHER
    assert (body["temperature"], body["stop_sequences"]) == (0.5, ["END"])


def gemini(body: Any) -> None:
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    user, model, again = body["contents"]
    assert user["parts"] == [{"text": "How is Bern?"}]
    assert model["parts"][0]["functionCall"] == {"name": "weather", "args": {"city": "B"}}
    assert model["parts"][0]["thoughtSignature"], "Gemini refuses an earlier call without one"
    result, inline, linked, file, text = again["parts"]
    assert result["functionResponse"] == {"name": "weather", "response": {"result": "sunny"}}
    assert same_bytes(inline["inlineData"]["data"], IMAGE)
    address = {"fileUri": "https://example.org/b.png", "mimeType": "image/png"}
    assert linked["fileData"] == address
    assert same_bytes(file["inlineData"]["data"], FILE)
    assert text == {"text": "And this?"}
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == WEATHER
    assert body["generationConfig"]["stopSequences"] == ["END"]


def openai(body: Any) -> None:
    system, user, assistant, tool, again = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user == {"role": "user", "content": "How is Bern?"}
    assert assistant == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert tool == {"role": "tool", "content": "sunny", "tool_call_id": "c1"}
    inline, linked, file, text = again["content"]
    assert inline["image_url"] == {"url": f"data:image/png;base64,{IMAGE}"}
    assert linked["image_url"] == {"url": "https://example.org/b.png"}
    assert file["file"] == {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{FILE}"}
    assert text == {"type": "text", "text": "And this?"}
    assert (body["tools"], body["stop"]) == (TOOLS, ["END"])


EXPECTED = {"anthropic": anthropic, "gemini": gemini, "openai": openai}


def same_bytes(urlsafe: str, standard: str) -> bool:
    padded = urlsafe + "=" * (-len(urlsafe) % 4)
    return base64.b64decode(padded, altchars=b"-_") == base64.b64decode(standard)


def test_thinking_and_a_schema_reach_the_provider(
    client: Client, rehearsed: Rehearsed, served: Cloud
) -> None:
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
    call = {"prompt": "Think.", "json_schema": schema}
    body = sent(client, rehearsed, served, thinking=2048, **call)
    quiet = sent(client, rehearsed, served, thinking=False, **call)
    effort = sent(client, rehearsed, served, reasoning_effort="high", **call)
    match served.provider:
        case "anthropic":
            assert body["thinking"]["budget_tokens"] == 2048
            assert quiet["thinking"] == {"type": "disabled"}
            assert effort["output_config"]["effort"] == "high"
            kept = body["output_config"]["format"]["schema"]
        case "gemini":
            settings = body["generationConfig"]
            assert settings["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 2048}
            assert quiet["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0}
            assert effort["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "HIGH"}
            kept = settings["responseJsonSchema"]
        case _:
            assert body["chat_template_kwargs"] == {"enable_thinking": True}
            assert quiet["chat_template_kwargs"] == {"enable_thinking": False}
            assert effort["reasoning_effort"] == "high"
            kept = body["response_format"]["json_schema"]["schema"]
    assert list(kept["properties"]) == ["z", "a"], "the order of a schema is kept"


def test_a_tool_is_called_and_its_result_given_back(
    client: Client, rehearsed: Rehearsed, served: Cloud
) -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": "How is Bern?"}]
    call = {"model": served.model, "tools": TOOLS, "thinking": 2048, "max_tokens": 4000}
    first = client.result(client.generate(messages=asked, tool_choice="required", **call), 20)
    assert first["finish_reason"] == "tool_calls"
    (wish,) = first["tool_calls"]
    assert wish["function"] == {"name": "weather", "arguments": '{"city": "stone"}'}
    said = {"role": "assistant", "content": first["text"], **kept(first)}
    result = {"role": "tool", "tool_call_id": wish["id"], "content": "sunny"}
    second = client.result(client.generate(messages=[*asked, said, result], **call), 20)
    assert second["finish_reason"] == "stop"
    body = json.dumps(rehearsed.requests()[-1])
    signed = {"anthropic": '"signature": "c2ln"', "gemini": '"thoughtSignature": "c2ln"'}
    assert signed.get(served.provider, "sunny") in body
    if served.provider != "openai":
        assert second["reasoning"].startswith("Hm.")


def kept(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("tool_calls", "thinking_blocks") if name in answer}


def test_the_answer_to_a_schema_is_json(client: Client, served: Cloud) -> None:
    task = client.generate(model=served.model, prompt="Where?", json_schema=WEATHER, max_tokens=99)
    assert json.loads(client.result(task, 20)["text"]) == {"city": "stone"}


@coordinator
def looks_at(ctx: Context, image: str) -> str:
    """Show an image to a model."""
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image", "path": image}]
    call = ctx.generate(
        model=CLOUDS["anthropic"].model, messages=[{"role": "user", "content": parts}]
    )
    return str(ctx.gather(call)[0]["finish_reason"])


def test_a_coordinator_shows_a_file_of_its_own(
    client: Client, rehearsed: Rehearsed, tmp_path: Path
) -> None:
    picture = tmp_path / "picture"
    picture.write_bytes(png(5, 5))
    minds = WorkerProcess(Settings(home=tmp_path, poll_s=0.2), client.database, "coordinator", 2)
    cloud = worker_of(CLOUDS["anthropic"], client.database, tmp_path / "home", rehearsed.url)
    with ExitStack() as stack:
        stack.enter_context(running(minds))
        stack.enter_context(running(cloud))
        run = client.submit("looks_at", str(picture), budget={"usd": 1_000_000_000})
        assert client.result(run, timeout=20) == "stop"
    with client.database.connect() as conn:
        assert [file.tasks for file in list_files(conn)] == [1]


def test_an_agent_in_the_cloud_leads_by_tool_calls(
    client: Client, rehearsed: Rehearsed, tmp_path: Path
) -> None:
    library.load()
    claude = CLOUDS["anthropic"]
    minds = WorkerProcess(Settings(home=tmp_path, poll_s=0.2), client.database, "coordinator", 2)
    with ExitStack() as stack:
        stack.enter_context(running(minds))
        home = tmp_path / "home"
        stack.enter_context(running(worker_of(claude, client.database, home, rehearsed.url)))
        run = client.submit("agent", "Find out", claude.model, budget={"usd": 1_000_000_000})
        assert client.result(run, timeout=30) == {"answer": "stone", "turns": 2}


def test_the_command_line_attaches_images_and_documents(
    client: Client, lmx: Lmx, rehearsed: Rehearsed, tmp_path: Path
) -> None:
    claude = CLOUDS["anthropic"]
    settings_of(claude, client.database, tmp_path / "home", rehearsed.url)
    (tmp_path / "notes.txt").write_text("a note")
    (tmp_path / "a.bin").write_bytes(pdf(2))
    (tmp_path / "b.png").write_bytes(png())
    files = ["--file", tmp_path / "notes.txt", "--file", tmp_path / "a.bin"]
    images = ["--image", tmp_path / "b.png", "--image", "https://example.org/c.png"]
    task = lmx("enqueue", "Compare.", "-m", claude.model, *files, *images).out.strip()
    with client.database.connect() as conn:
        row = conn.execute("SELECT input FROM lmx.tasks WHERE id = %s", [task]).fetchone()
    assert row is not None
    (message,) = row[0]["messages"]
    kinds = [part.get("media_type") or part.get("url") for part in message["content"][:-1]]
    assert kinds == ["image/png", "https://example.org/c.png", "application/pdf"]
    assert message["content"][-1]["text"] == "Compare.\n\na note"
    assert "application/pdf" in lmx("files", "list").out
    refused = lmx("enqueue", "-m", claude.model, "--image", tmp_path / "a.bin", "x")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "send it as a file" in refused.err
    assert json.loads(lmx("files", "list", "--json").out)[0]["tasks"] == 1
    assert "files, images, json_schema" in lmx("models", "list").out
    assert "freed 0 files" in lmx("files", "free", "--older-than-days", "0").err
