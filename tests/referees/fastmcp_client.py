"""Referee: fastmcp's client, over all transports: the shipped tools as its users call them, and the server's questions.

It parses results by their output schemas, turns tool errors into exceptions and answers the server through handlers.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from fastmcp.exceptions import ToolError

from harness import Report, Server, check_listing, check_secret, environment, scratch, serve_command

EXAMPLE = Path(__file__).resolve().parents[2] / "capabilities/examples/conformance.yaml"
SECTION_SECONDS = 120
MODES = ("auto", "legacy")
VALUE = "fastmcp-value-3b71e0"


def plain(data) -> dict:
    """What fastmcp made of a result: an object of a class it derives from the output schema."""
    return asdict(data) if is_dataclass(data) else dict(data)


async def check_tools(report: Report, transport, mode: str, tag: str) -> None:
    async with Client(transport, mode=mode, timeout=60) as client:
        tools = await client.list_tools()
        check_listing(report, [tool.model_dump(by_alias=True, exclude_none=True) for tool in tools])
        name = f"FASTMCP_{tag}"
        created = await client.call_tool("create_secret", {"name": name, "value": VALUE})
        check_secret(report, "create_secret", created.structured_content, name)
        report.equal("the result is parsed by its schema", plain(created.data), created.structured_content)
        listed = plain((await client.call_tool("list_secrets", {"limit": 5000})).data)
        report.check("the secret is listed", name in [plain(one)["name"] for one in listed["secrets"]], listed)
        again = {"name": name, "value": VALUE}
        for what, tool, arguments, told in (
            ("a name that is taken", "create_secret", again, "already exists"),
            ("a missing argument", "create_secret", {"name": name}, "value"),
            ("an unknown argument", "get_secret", {"name": name, "colour": "red"}, "colour"),
            ("a secret that does not exist", "get_secret", {"name": "ABSENT"}, "404"),
        ):
            try:
                report.check(f"{what}: a tool error", False, await client.call_tool(tool, arguments))
            except ToolError as error:
                report.contains(f"{what}: the error says so", str(error), told)
        await asyncio.gather(*(client.call_tool("get_secret", {"name": name}) for _ in range(16)))
        deleted = await client.call_tool("delete_secret", {"name": name})
        report.equal("delete_secret answers what it deleted", plain(deleted.data)["id"], plain(created.data)["id"])


async def check_features(report: Report, transport, mode: str) -> None:
    asked: list[str] = []
    progress: list[tuple] = []

    async def elicit(message, response_type, _params, _context):
        asked.append(message)
        return ElicitResult(action="accept", content=response_type(name="Ada"))

    async def sample(messages, _params, _context):
        asked.append(messages[0].content.text)
        return "Paris"

    async def advance(done, total, message) -> None:
        progress.append((done, total, message))

    client = Client(transport, mode=mode, timeout=60, elicitation_handler=elicit, sampling_handler=sample,
                    roots=["file:///srv/ships"], progress_handler=advance)
    async with client:
        for tool, answers in (
            ("test_input_required_result_elicitation", ["Hello, Ada!"]),
            ("test_input_required_result_sampling", ["Paris"]),
            ("test_input_required_result_list_roots", ["file:///srv/ships"]),
            ("test_input_required_result_multiple_inputs", ["Ada", "Paris", "file:///srv/ships"]),
        ):
            result = await client.call_tool(tool, {})
            report.contains(f"{tool} has the answers", result.content[0].text, *answers)
        report.check("the person and the model were asked", len(asked) == 4, asked)
        await client.call_tool("test_tool_with_progress", {})
        report.equal("progress is reported", [done for done, *_ in progress], [0, 50, 100])
        contents = await client.read_resource("test://template/41/data")
        report.contains("a template is filled in", contents[0].text, "41")
        blob = await client.read_resource("test://static-binary")
        report.check("bytes are read", blob[0].blob, blob)
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
        report.contains("a prompt is filled in", prompt.messages[0].content.text, "one", "two")
        prompts = [one.name for one in await client.list_prompts()]
        report.check("prompts are listed", "test_simple_prompt" in prompts, prompts)


def on_each(report: Report, home: Path, more: list[str], check) -> str:
    """A check on every transport in every mode. What the servers wrote on standard error."""

    def run(what: str, transport, mode: str, *rest) -> None:
        with report.section(f"{what} {mode}"):
            asyncio.run(asyncio.wait_for(check(report, transport, mode, *rest), SECTION_SECONDS))

    log = home / "stdio.log"
    for mode in MODES:
        command = [*serve_command(home / "stdio"), *more]
        started = StdioTransport(command[0], command[1:], env=environment(home, KEYGLASS_LOG="trace"), keep_alive=False, log_file=log)
        run("stdio", started, mode)
    with Server([*serve_command(home / "http", "http"), *more], home, KEYGLASS_LOG="trace") as server:
        url = server.url("/mcp")
        for mode in MODES:
            run("http", StreamableHttpTransport(url), mode)
            run("sse", SSETransport(url.removesuffix("/mcp") + "/sse"), mode)
    return log.read_text(errors="replace") + server.stderr


def main() -> int:
    report = Report(f"fastmcp {version('fastmcp')}")
    with scratch("fastmcp") as home:
        with report.section("tools"):
            log = on_each(report, home, [], lambda report, transport, mode: check_tools(report, transport, mode, "TOOLS"))
            report.check("the log holds no secret's value at any level", log and VALUE not in log)
        with report.section("features"):
            on_each(report, home, ["--capabilities", str(EXAMPLE)], check_features)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
