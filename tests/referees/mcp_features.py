"""Referee: what a server does beside answering calls, as the Python SDK 1 and 2 see it: it asks the person, the model and
the client, reports progress, logs, completes arguments, tells of changes, lists in pages, and stops when it is told to.

The steps come from the shipped example that holds a tool for each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import sys
import threading
import warnings
from importlib.metadata import version
from pathlib import Path

import anyio
from mcp import types
from pydantic import AnyUrl

from harness import Report, Server, environment, scratch, serve_command, text_of
from mcp_sdk import HANDSHAKE, MAJOR, MODERN, MODES, Connection, ProtocolError, bounded, connect

EXAMPLE = Path(__file__).resolve().parents[2] / "capabilities/examples/conformance.yaml"
ANSWERS = {"name": "Ada", "color": "blue", "ok": True, "context": "ships", "username": "ada", "email": "ada@example.com"}
WAIT_SECONDS = 30
# What a server on stdio writes on standard error; its steps are told apart by the checks.
QUIET = open(os.devnull, "w")  # noqa: SIM115 — open for as long as the program runs
TOOLS_IN_PAGES = 250
PAGE = 100


class Person:
    """Who answers the server's questions, and hears what it tells."""

    def __init__(self, action: str = "accept"):
        self.action = action
        self.asked: list[str] = []
        self.logged: list[str] = []
        self.changed = asyncio.Event()

    def callbacks(self) -> dict:
        more = {} if MAJOR == 1 else {"log_level": "debug"}
        return {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
            "logging_callback": self.log,
            "message_handler": self.hear,
            **more,
        }

    async def elicit(self, _context, params):
        asked = params.model_dump(by_alias=True)
        self.asked.append(asked["message"])
        if self.action != "accept":
            return types.ElicitResult(action=self.action)
        content = {name: ANSWERS[name] for name in asked["requestedSchema"]["properties"]}
        return types.ElicitResult(action="accept", content=content)

    async def sample(self, _context, params):
        self.asked.append(params.messages[0].content.text)
        return types.CreateMessageResult(role="assistant", content=types.TextContent(type="text", text="Paris"), model="none")

    async def roots(self, _context):
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///srv/ships", name="ships")])

    async def log(self, params) -> None:
        self.logged.append(str(params.data))

    async def hear(self, message) -> None:
        told = getattr(message, "root", message)
        if getattr(told, "method", "") == "notifications/tools/list_changed":
            self.changed.set()


async def check_questions(report: Report, client: Connection, person: Person) -> None:
    """Handshake or not, the same steps ask: by a request of the server's, or by a result that asks for more."""

    async def ask(tool: str, asked: list[str], *answered: str) -> None:
        person.asked.clear()
        result = await client.call(tool, {})
        report.equal(f"{tool} asks", sorted(person.asked), sorted(asked))
        report.contains(f"{tool} has the answers", text_of(result), *answered)
        report.check(f"{tool} succeeds", not result.get("isError"), result)

    name, capital = "What is your name?", "What is the capital of France?"
    await ask("test_input_required_result_elicitation", [name], "Hello, Ada!")
    await ask("test_input_required_result_sampling", [capital], "Paris")
    await ask("test_input_required_result_list_roots", ["roots"], "file:///srv/ships")
    await ask("test_input_required_result_multiple_inputs", [name, "Write a short greeting.", "roots"],
              "Ada", "Paris", "file:///srv/ships")
    await ask("test_input_required_result_multi_round", [name, "Ada, what is your favourite colour?"], "Ada likes blue.")
    person.asked.clear()
    messages = await client.prompt("test_input_required_result_prompt", {})
    report.equal("a prompt asks too", (person.asked, messages), (["What is this about?"], ["user: Context: ships"]))


async def check_progress(report: Report, client: Connection, person: Person) -> None:
    seen: list[tuple] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))

    result = await client.client.call_tool("test_tool_with_progress", {}, progress_callback=progress)
    report.equal("progress is reported in order", seen, [(0, 100, "Started"), (50, 100, "Half way"), (100, 100, "Done")])
    report.check("and then the result", result.content, result)

    if client.protocol == HANDSHAKE:
        with warnings.catch_warnings(action="ignore"):
            await client.client.set_logging_level("debug")
    await client.call("test_tool_with_logging", {})
    with anyio.move_on_after(WAIT_SECONDS):
        while len(person.logged) < 3:
            await anyio.sleep(0.05)
    report.equal("log messages arrive in order", person.logged,
                 ["Tool execution started", "Tool processing data", "Tool execution completed"])


async def check_offers(report: Report, client: Connection) -> None:
    arguments = {"arg1": "one", "arg2": "two"}
    report.contains("a prompt is filled in", str(await client.prompt("test_prompt_with_arguments", arguments)), "one", "two")
    reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    completed = (await client.client.complete(reference, {"name": "arg1", "value": "t"})).completion.values
    report.check("an argument is completed", isinstance(completed, list), completed)
    report.check("resources are listed", {"test://static-text", "test://static-binary"} <= set(await client.resources()))
    own, *others = await client.templates()
    report.equal("a template is listed first", own, "test://template/{id}/data")
    report.check("what comes behind is the specs", all("keyglass:" in other for other in others), others)
    report.contains("a template is filled in", (await client.read("test://template/41/data"))["text"], "41")
    if client.protocol == HANDSHAKE:
        watched = "test://watched-resource"
        uri = AnyUrl(watched) if MAJOR == 1 else watched
        with warnings.catch_warnings(action="ignore"):
            await client.client.subscribe_resource(uri)
            await client.client.unsubscribe_resource(uri)
        report.contains("a resource can be watched, or not", (await client.read(watched))["text"], "watched")


async def check_changes(report: Report, client: Connection, person: Person) -> None:
    """Whoever listens hears of changes; the older protocol listens by being connected."""
    with anyio.move_on_after(WAIT_SECONDS):
        if client.protocol == HANDSHAKE:
            await client.call("test_trigger_tool_change", {})
            await person.changed.wait()
        else:
            async with client.client.listen(tools_list_changed=True) as subscription:
                await client.call("test_trigger_tool_change", {})
                async for _ in subscription:
                    person.changed.set()
                    break
    report.check("a change of the tools is heard of", person.changed.is_set())


async def check_refusal(report: Report, transport: str, mode: str, target) -> None:
    """A person who declines, and a client that cannot ask one."""
    person = Person("decline")
    async with connect(transport, mode, target, QUIET, **person.callbacks()) as client:
        declined = await client.call("test_input_required_result_elicitation", {})
        report.check("who declines is not greeted", person.asked and "Hello" not in text_of(declined), declined)
    async with connect(transport, mode, target, QUIET) as client:
        try:
            told = text_of(await client.call("test_input_required_result_elicitation", {}))
        except ProtocolError as error:
            told = error.error.message
        report.contains("a client that cannot ask is told", told, "elicitation")
        plain = await client.call("test_simple_text", {})
        report.check("and its other calls work", not plain.get("isError"), plain)


async def check_features(report: Report, transport: str, mode: str, target) -> None:
    person = Person()
    async with connect(transport, mode, target, QUIET, **person.callbacks()) as client:
        report.equal("the protocol version", client.protocol, MODES[mode])
        await check_questions(report, client, person)
        await check_progress(report, client, person)
        await check_offers(report, client)
        await check_changes(report, client, person)
    await check_refusal(report, transport, mode, target)


class Slow(http.server.BaseHTTPRequestHandler):
    """A service that answers when its caller has gone."""

    def do_GET(self) -> None:  # noqa: N802 — the base class names it
        self.server.arrived.set()
        self.connection.settimeout(WAIT_SECONDS)
        with contextlib.suppress(OSError):
            # Nothing more is sent on this connection: reading ends when the caller gives up.
            if self.connection.recv(1) == b"":
                self.server.given_up.set()

    def log_message(self, *_) -> None:
        pass


@contextlib.contextmanager
def slow_service():
    """The service, and a spec for it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        server.arrived, server.given_up = threading.Event(), threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def slow_spec(home: Path, server) -> Path:
    path = home / "slow.yaml"
    path.write_text(json.dumps({
        "ikanos": "1.0.0-beta5",
        "info": {"display": "Slow", "description": "A slow service."},
        "capability": {
            "consumes": [{
                "type": "http", "namespace": "slow", "baseUri": f"http://127.0.0.1:{server.server_port}",
                "resources": {"wait": {"path": "/wait", "operations": {"wait": {"method": "GET", "description": "Wait."}}}},
            }],
            "exposes": [{
                "type": "mcp", "namespace": "slow-mcp", "transport": "stdio",
                "tools": {"wait": {"description": "Wait for long.", "call": "slow.wait"}},
            }],
        },
    }))
    return path


async def check_cancellation(report: Report, transport: str, mode: str, target, server) -> None:
    """A call that its client gives up is given up towards the service as well."""
    server.arrived.clear()
    server.given_up.clear()
    async with connect(transport, mode, target, QUIET) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call, "wait", {})
            arrived = await anyio.to_thread.run_sync(server.arrived.wait, WAIT_SECONDS)
            report.check("the call reaches the service", arrived)
            if MAJOR == 1:
                # This version tells nobody when a call is cancelled; its session numbers requests from 0.
                number = client.client._request_id - 1
                note = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=number))
                await client.client.send_notification(types.ClientNotification(note))
            else:
                group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                given_up = await anyio.to_thread.run_sync(server.given_up.wait, WAIT_SECONDS)
            report.check("and is given up there", given_up)
            group.cancel_scope.cancel()
        report.equal("the connection is still good", len(await client.list_tools()), 1)


def many_tools(home: Path) -> Path:
    """A spec with more tools than a page of the list holds."""
    path = home / "many.yaml"
    names = [f"tool_{number:03}" for number in range(TOOLS_IN_PAGES)]
    path.write_text(json.dumps({
        "ikanos": "1.0.0-beta5",
        "info": {"display": "Many", "description": "Many tools."},
        "capability": {
            "consumes": [{
                "type": "http", "namespace": "many", "baseUri": "https://many.test",
                "resources": {"thing": {"path": "/thing", "operations": {"get": {"method": "GET", "description": "Get."}}}},
            }],
            "exposes": [{
                "type": "mcp", "namespace": "many-mcp", "transport": "stdio",
                "tools": {name: {"description": "Get the thing.", "call": "many.get"} for name in names},
            }],
        },
    }))
    return path


async def check_pages(report: Report, transport: str, mode: str, target) -> None:
    async with connect(transport, mode, target, QUIET) as client:
        pages, cursor = [], None
        while len(pages) < TOOLS_IN_PAGES:
            if MAJOR == 1:
                page = await client.client.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            else:
                page = await client.client.list_tools(cursor=cursor)
            listed = page.model_dump(by_alias=True)
            pages.append([tool["name"] for tool in listed["tools"]])
            cursor = listed.get("nextCursor")
            if cursor is None:
                break
        report.equal("the list comes in pages", [len(page) for page in pages], [PAGE, PAGE, TOOLS_IN_PAGES - 2 * PAGE])
        names = [name for page in pages for name in page]
        report.equal("which hold every tool once", (len(set(names)), len(names)), (TOOLS_IN_PAGES, TOOLS_IN_PAGES))


def on_each(report: Report, home: Path, spec: Path, check, *, more: tuple = ()) -> None:
    """A check on every transport in every mode."""
    served = ["--capabilities", str(spec), "--backend", "remote"]
    for mode in MODES:
        with report.section(f"stdio {mode}"):
            target = (serve_command(home / "data") + served, home)

            async def work(mode=mode, target=target) -> None:
                await check(report, "stdio", mode, target, *more)

            asyncio.run(bounded(work))
    with Server(serve_command(home / "data", "http") + served, home) as server:
        url = server.url("/mcp")
        for transport, target in (("http", url), ("sse", url.removesuffix("/mcp") + "/sse")):
            for mode in MODES:
                with report.section(f"{transport} {mode}"):

                    async def work(transport=transport, mode=mode, target=target) -> None:
                        await check(report, transport, mode, target, *more)

                    asyncio.run(bounded(work))


def main() -> int:
    report = Report(f"mcp-features {version('mcp')}")
    with scratch("mcp-features") as home:
        with report.section("features"):
            on_each(report, home, EXAMPLE, check_features)
        with report.section("pages"):
            on_each(report, home, many_tools(home), check_pages)
        with report.section("cancellation"), slow_service() as service:
            on_each(report, home, slow_spec(home, service), check_cancellation, more=(service,))
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
