"""Referee: the Python SDK of the Model Context Protocol, major versions 1 and 2, over all transports and in all modes.

Version 2 negotiates (`auto`), shakes hands (`legacy`) or speaks the stateless protocol at once (`2026-07-28`); version 1
knows the handshake only. Both check every result against the tool's output schema by themselves and raise on a mismatch.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import jsonschema
from mcp import StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client

from harness import (
    SECRET_MEMBERS,
    Report,
    Server,
    backend_command,
    check_listing,
    check_sealed,
    check_secret,
    check_success,
    environment,
    scratch,
    serve_command,
    text_of,
)

MAJOR = int(version("mcp").split(".")[0])
MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
MODES = {1: {"legacy": HANDSHAKE}, 2: {"auto": MODERN, "legacy": HANDSHAKE, MODERN: MODERN}}[MAJOR]
SECTION_SECONDS = 120
INVALID_PARAMS = -32602
NOT_FOUND = -32002
SPECS = Path(__file__).resolve().parents[1] / "specs"

CANARY = "canary-7c1d0b-Zq/+=ünï"
# JSON writers may escape what is not ASCII: the part before it has to do.
CANARY_TRACE = "canary-7c1d0b"

if MAJOR == 1:
    from pydantic import AnyUrl

    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client
    from mcp.shared.exceptions import McpError as ProtocolError
else:
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import MCPError as ProtocolError


class Connection:
    """One connected client, with results as they are on the wire and a transcript of them."""

    def __init__(self, client, protocol: str, server_name: str | None):
        self.client = client
        self.protocol = protocol
        self.server_name = server_name
        self.transcript: list[str] = []
        self.keys: list[str] = []

    async def list_tools(self) -> list[dict]:
        return self._note(await self.client.list_tools())["tools"]

    async def call(self, tool: str, arguments: dict | None = None) -> dict:
        try:
            return self._note(await self.client.call_tool(tool, arguments))
        except Exception as error:
            self.transcript.append(repr(error))
            raise

    async def resources(self) -> list[str]:
        return [str(one["uri"]) for one in self._note(await self.client.list_resources())["resources"]]

    async def templates(self) -> list[str]:
        listed = self._note(await self.client.list_resource_templates())
        return [one["uriTemplate"] for one in listed["resourceTemplates"]]

    async def read(self, uri: str) -> dict:
        contents = self._note(await self.client.read_resource(AnyUrl(uri) if MAJOR == 1 else uri))["contents"]
        return contents[0]

    async def prompts(self) -> list[dict]:
        return self._note(await self.client.list_prompts())["prompts"]

    async def prompt(self, name: str, arguments: dict[str, str]) -> list[str]:
        messages = self._note(await self.client.get_prompt(name, arguments))["messages"]
        return [f"{message['role']}: {message['content']['text']}" for message in messages]

    def _note(self, result) -> dict:
        plain = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        self.transcript.append(json.dumps(plain, ensure_ascii=False))
        return plain


@contextlib.asynccontextmanager
async def connect(transport: str, mode: str, target, errlog, **callbacks) -> AsyncIterator[Connection]:
    """Connects by one transport: `target` is a command line for stdio, else a URL. What the client can do beside
    calling is what it has callbacks for."""
    if transport == "stdio":
        command, home = target
        streams = stdio_client(
            StdioServerParameters(command=command[0], args=command[1:], env=environment(home, KEYGLASS_LOG="trace")), errlog=errlog
        )
    elif transport == "sse":
        streams = sse_client(target)
    else:
        streams = (streamablehttp_client if MAJOR == 1 else streamable_http_client)(target)

    if MAJOR == 1:
        async with streams as opened, ClientSession(opened[0], opened[1], **callbacks) as session:
            greeting = await session.initialize()
            yield Connection(session, greeting.protocolVersion, greeting.serverInfo.name)
    else:
        async with Client(streams, mode=mode, read_timeout_seconds=60, **callbacks) as client:
            # Without a greeting the client cannot know the server's name.
            name = None if mode == MODERN else client.server_info.name
            yield Connection(client, client.protocol_version, name)


async def check_seven_tools(report: Report, client: Connection, tag: str) -> None:
    """Calls every tool. `tag` makes the names of this run, in data that several runs share."""
    schemas = {tool["name"]: tool for tool in await client.list_tools()}

    async def succeed(tool: str, arguments: dict | None) -> dict:
        structured = check_success(report, tool, await client.call(tool, arguments))
        faults = [error.message for error in
                  jsonschema.Draft202012Validator(schemas[tool]["outputSchema"]).iter_errors(structured)]
        report.equal(f"{tool} answers what its output schema promises", faults, [])
        return structured

    name = f"SECRET_{tag}"
    created = await succeed("create_secret", {"name": name, "value": CANARY})
    check_secret(report, "create_secret", created, name)
    report.equal("get_secret answers the same", await succeed("get_secret", {"name": name}), created)
    updated = await succeed("update_secret", {"name": name, "value": CANARY + " again"})
    check_secret(report, "update_secret", updated, name)
    report.equal("update_secret keeps the id", updated.get("id"), created.get("id"))

    listed = await succeed("list_secrets", {"limit": 5000})
    report.check("list_secrets holds the secret", updated in listed.get("secrets", []), listed)
    report.check("list_secrets shows no member but the published ones",
                 all(set(view) == SECRET_MEMBERS for view in listed.get("secrets", [])), listed)
    newest = await succeed("list_secrets", None)
    report.equal("list_secrets takes no arguments and puts the newest first",
                 [view["name"] for view in newest.get("secrets", [])][:1], [name])
    report.equal("delete_secret answers what it deleted", await succeed("delete_secret", {"name": name}), updated)

    hour = int(time.time() * 1000) + 3_600_000
    key = await succeed("create_api_key", {"name": f"key {tag}", "expires_at_ms": hour})
    report.equal("create_api_key answers name and expiry", (key.get("name"), key.get("expires_at_ms")), (f"key {tag}", hour))
    scopes = [{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ACCESS_LEVEL_READ"}]
    restricted = await succeed("create_restricted_key", {"name": f"reader {tag}", "scopes": scopes})
    report.equal("create_restricted_key echoes the scopes", restricted.get("scopes"), scopes)
    report.check("an API key begins with ak_", str(key.get("key_secret")).startswith("ak_"), key.get("id"))
    report.check("a restricted key begins with rk_", str(restricted.get("key_secret")).startswith("rk_"))
    client.keys += [key.get("key_secret", ""), restricted.get("key_secret", "")]
    report.check("the two keys have two ids", key.get("id") and key.get("id") != restricted.get("id"), (key, restricted))


async def check_refusals(report: Report, client: Connection, tag: str) -> None:
    async def refuse(what: str, tool: str, arguments: dict | None, *named: str) -> None:
        result = await client.call(tool, arguments)
        report.equal(f"{what}: a tool error", result.get("isError"), True)
        report.contains(f"{what}: the text names {', '.join(named)}", text_of(result), *named)
        report.check(f"{what}: no structured content", result.get("structuredContent") is None, result)

    kept = f"KEPT_{tag}"
    await client.call("create_secret", {"name": kept, "value": CANARY})
    cases: list[tuple] = [
        ("no argument at all", "create_secret", None, "name", "value"),
        ("a missing argument", "create_secret", {"name": "LONELY"}, "value"),
        ("an unknown argument", "create_secret", {"name": "X", "value": CANARY, "colour": "red"}, "colour"),
        ("an argument that names nothing", "list_secrets", {"colour": "red"}, "colour"),
        ("a text for an integer", "list_secrets", {"limit": "many"}, "limit"),
        ("an object for a text", "get_secret", {"name": {}}, "name"),
        ("null for a text", "update_secret", {"name": kept, "value": None}, "value"),
        ("a list for a secret value", "create_secret", {"name": "X", "value": [CANARY]}, "value"),
        ("a value outside an enum", "create_restricted_key",
         {"scopes": [{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ALL"}]}, "scopes", "access_level"),
        ("an illegal name", "create_secret", {"name": "1 %2F", "value": CANARY}, "name"),
        ("an expiry in the past", "create_api_key", {"expires_at_ms": 1}, "expires_at_ms"),
        ("a secret that does not exist", "get_secret", {"name": "ABSENT"}, "404"),
        ("an update of nothing", "update_secret", {"name": "ABSENT", "value": CANARY}, "404"),
        ("a deletion of nothing", "delete_secret", {"name": "ABSENT"}, "404"),
        ("a name that is taken", "create_secret", {"name": kept, "value": CANARY}, "already exists"),
    ]
    for case in cases:
        await refuse(*case)
    for hostile in ("..", "../apikeys", "a/b", "", "%2e%2e"):
        result = await client.call("get_secret", {"name": hostile})
        report.equal(f"the name {hostile!r}: a tool error", result.get("isError"), True)

    try:
        answer = await client.call("drop_all_secrets", {})
        report.check("an unknown tool: a protocol error", False, answer)
    except ProtocolError as error:
        report.equal("an unknown tool: the error code", error.error.code, INVALID_PARAMS)
        report.contains("an unknown tool: the message says so", error.error.message, "unknown tool")

    still = await client.call("get_secret", {"name": kept})
    check_success(report, "a good call after all those errors", still)
    await client.call("delete_secret", {"name": kept})


async def check_concurrency(report: Report, client: Connection, tag: str) -> None:
    names = [f"PARALLEL_{tag}_{number}" for number in range(16)]

    async def all_of(calls: list[Awaitable[dict]]) -> list[dict]:
        return list(await asyncio.gather(*calls))

    created = await all_of([client.call("create_secret", {"name": name, "value": CANARY}) for name in names])
    report.equal("16 creates at once: each answers its own name",
                 [(result.get("structuredContent") or {}).get("name") for result in created], names)
    same = await all_of([client.call("create_secret", {"name": f"ONCE_{tag}", "value": CANARY}) for _ in range(8)])
    report.equal("8 creates of one name at once: one succeeds", sum(not result.get("isError") for result in same), 1)
    gone = await all_of([client.call("delete_secret", {"name": name}) for name in [*names, f"ONCE_{tag}"]])
    report.equal("17 deletes at once: all succeed", [text_of(result) for result in gone if result.get("isError")], [])


async def check_session(report: Report, client: Connection, expected_protocol: str, tag: str) -> None:
    report.equal("the protocol version", client.protocol, expected_protocol)
    if client.server_name is not None:
        report.equal("the server calls itself keyglass", client.server_name, "keyglass")
    check_listing(report, await client.list_tools())
    report.equal("the list is the same when asked again", await client.list_tools(), await client.list_tools())
    await check_seven_tools(report, client, tag)
    await check_refusals(report, client, tag)
    await check_concurrency(report, client, tag)
    said = "\n".join(client.transcript)
    report.check("no answer holds a secret's value", CANARY_TRACE not in said,
                 [line for line in client.transcript if CANARY_TRACE in line])


def check_log(report: Report, log: str, keys: list[str]) -> None:
    """The log at its highest level tells neither a secret's value nor a key."""
    report.check("the server logs", log.strip(), log)
    for what, traces in (("secret's value", [CANARY_TRACE]), ("key that was made", keys)):
        lines = [line for line in log.splitlines() if any(trace in line for trace in traces)]
        report.check(f"the log holds no {what} at any level", not lines, f"{len(lines)} lines, the first: {lines[:1]}")


def check_keys(report: Report, home: Path, data: Path, keys: list[str]) -> None:
    """Keys that a tool made open the backend on the same data."""

    def status(key: str) -> int:
        request = urllib.request.Request(f"{base}/v1/secrets", headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status
        except urllib.error.HTTPError as refusal:
            return refusal.code

    with Server(backend_command(data), home) as server:
        base = server.url()
        report.check("keys were made", keys)
        report.equal("every key a tool made is let in", {status(key) for key in keys}, {200})
        report.equal("a key that nobody made is not", status("ak_nobody"), 401)


async def bounded(work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.wait_for(work(), SECTION_SECONDS)


def over_stdio(report: Report, home: Path) -> None:
    keys: list[str] = []
    for mode, protocol in MODES.items():
        with report.section(mode):
            log = home / f"stdio-{mode}.log"
            target = (serve_command(home / "stdio"), home)

            async def work(mode=mode, protocol=protocol, log=log, target=target) -> None:
                with log.open("w") as errlog:
                    try:
                        async with connect("stdio", mode, target, errlog) as client:
                            await check_session(report, client, protocol, "STDIO")
                            keys.extend(client.keys)
                    except Exception:
                        print(f"     standard error of keyglass: {log.read_text(errors='replace')[-1500:]}")
                        raise

            asyncio.run(bounded(work))
            check_log(report, log.read_text(errors="replace"), keys)
    with report.section("keys"):
        check_keys(report, home, home / "stdio", keys)
    check_sealed(report, home / "stdio", CANARY_TRACE)


def over_network(report: Report, home: Path) -> None:
    keys: list[str] = []
    with Server(serve_command(home / "http", "http"), home, KEYGLASS_LOG="trace") as server:
        url = server.url("/mcp")
        for transport in ("http", "sse"):
            target = url if transport == "http" else url.removesuffix("/mcp") + "/sse"
            for mode, protocol in MODES.items():
                with report.section(f"{transport} {mode}"):

                    async def work(transport=transport, target=target, mode=mode, protocol=protocol) -> None:
                        async with connect(transport, mode, target, sys.stderr) as client:
                            await check_session(report, client, protocol, transport.upper())
                            keys.extend(client.keys)

                    asyncio.run(bounded(work))
        with report.section("two clients at once"):
            asyncio.run(bounded(lambda: check_two_clients(report, url)))
    with report.section("keys"):
        check_keys(report, home, home / "http", keys)
    check_log(report, server.stderr, keys)
    check_sealed(report, home / "http", CANARY_TRACE)


async def check_two_clients(report: Report, url: str) -> None:
    """What one client stores, another one on another transport sees."""
    mode = next(iter(MODES))
    async with connect("http", mode, url, sys.stderr) as writer:
        async with connect("sse", mode, url.removesuffix("/mcp") + "/sse", sys.stderr) as reader:
            await writer.call("create_secret", {"name": "SHARED", "value": CANARY})
            seen = await reader.call("get_secret", {"name": "SHARED"})
            report.equal("a secret made over HTTP is seen over SSE",
                         (seen.get("structuredContent") or {}).get("name"), "SHARED")
            await reader.call("delete_secret", {"name": "SHARED"})
            gone = await writer.call("get_secret", {"name": "SHARED"})
            report.equal("a secret deleted over SSE is gone over HTTP", gone.get("isError"), True)


async def check_offers(report: Report, client: Connection, protocol: str) -> None:
    """Reads resources and gets a prompt, of a spec that has every kind of them."""
    listed = await client.resources()
    report.check("an answer and the files of a folder are listed",
                 {"data://pets", "docs://handbook/guide.md", "docs://handbook/dot.png"} <= set(listed), listed)
    report.check("templates are listed", "data://hours/{day}" in await client.templates())
    hours = await client.read("data://hours/Monday")
    report.equal("a template is filled in", (hours["mimeType"], hours["text"]),
                 ("text/plain", "On Monday from nine to five."))
    guide = await client.read("docs://handbook/guide.md")
    report.equal("a file is read", guide["text"], (SPECS / "handbook/guide.md").read_text())
    dot = await client.read("docs://handbook/dot.png")
    report.equal("bytes are read", base64.b64decode(dot["blob"]), (SPECS / "handbook/dot.png").read_bytes())
    prompts = [prompt["name"] for prompt in await client.prompts()]
    report.equal("prompts are listed, the guide last", prompts, ["outreach", "note", "guide_pets_mcp"])
    report.equal("a prompt is filled in", await client.prompt("outreach", {"name": "Ada", "tone": "warm"}),
                 ["user: Write to Ada in a warm tone, please, Ada.", "assistant: I will."])
    for what, asked, expected in (
        ("an unknown resource", lambda: client.read("docs://handbook/none.md"),
         INVALID_PARAMS if protocol == MODERN else NOT_FOUND),
        ("a prompt without its argument", lambda: client.prompt("outreach", {}), INVALID_PARAMS),
    ):
        try:
            report.check(f"{what}: an error", False, await asked())
        except ProtocolError as error:
            report.equal(f"{what}: the code", error.error.code, expected)


def over_offers(report: Report, home: Path) -> None:
    specs = ["--capabilities", str(SPECS / "resources-and-prompts.yaml"), "--backend", "remote"]
    for mode, protocol in MODES.items():
        with report.section(f"stdio {mode}"):

            async def work(mode=mode, protocol=protocol) -> None:
                target = (serve_command(home / "offers") + specs, home)
                async with connect("stdio", mode, target, sys.stderr) as client:
                    await check_offers(report, client, protocol)

            asyncio.run(bounded(work))
    with Server(serve_command(home / "offers", "http") + specs, home) as server:
        url = server.url("/mcp")
        for mode, protocol in MODES.items():
            with report.section(f"http {mode}"):

                async def work(mode=mode, protocol=protocol) -> None:
                    async with connect("http", mode, url, sys.stderr) as client:
                        await check_offers(report, client, protocol)

                asyncio.run(bounded(work))


def main() -> int:
    report = Report(f"mcp-sdk {version('mcp')}")
    with scratch("mcp-sdk") as home:
        with report.section("stdio"):
            over_stdio(report, home)
        with report.section("network"):
            over_network(report, home)
        with report.section("resources and prompts"):
            over_offers(report, home)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
