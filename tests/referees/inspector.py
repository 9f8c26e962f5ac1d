"""Referee: MCP Inspector's command line, over stdio, Streamable HTTP and HTTP+SSE, in both protocol eras.

Every call is a process of its own. On stdio each call also starts a new keyglass, so whatever one call stores and the
next one reads has survived a restart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import (
    Report,
    Server,
    check_listing,
    check_secret,
    check_success,
    environment,
    scratch,
    serve_command,
    shown,
    text_of,
)

CALL_SECONDS = 90
TOOL_ERROR = 5
# The first is what it does when nothing is asked for.
ERAS = ("legacy", "auto", "modern")
VALUE = "inspector-value-9f2c41"
EXAMPLE = Path(__file__).resolve().parents[2] / "capabilities/examples/conformance.yaml"


class Inspector:
    """Inspector's command line pointed at one server."""

    def __init__(self, target: list[str], options: list[str], home: Path):
        self._target = target
        self._options = options
        self._home = home
        self.transcript: list[str] = []

    def run(self, method: str, *arguments: str) -> tuple[int, dict, str]:
        """The exit code, the result and what was written to standard error."""
        command = [os.environ["INSPECTOR_BIN"], "--cli", *self._target, *self._options]
        command += ["--format", "json", "--method", method, *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(self._home),
            timeout=CALL_SECONDS,
            check=False,
        )
        self.transcript += [done.stdout, done.stderr]
        try:
            result = json.loads(done.stdout).get("result", {}) if done.stdout.strip() else {}
        except ValueError as error:
            raise RuntimeError(f"no JSON from `{' '.join(command)}`: {shown(done.stdout)}") from error
        return done.returncode, result, done.stderr

    def call(self, tool: str, arguments: dict) -> tuple[int, dict, str]:
        """One tool call; the arguments keep their JSON types."""
        return self.run("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments))


def check_connection(report: Report, inspector: Inspector) -> None:
    code, result, stderr = inspector.run("initialize")
    report.equal("connects with exit code 0", code, 0)
    report.equal("the server calls itself keyglass", (result.get("serverInfo") or {}).get("name"), "keyglass")
    report.check("the server declares tools", "tools" in (result.get("capabilities") or {}), f"{result} {stderr}")

    code, result, stderr = inspector.run("tools/list", "--strict")
    report.check("lists the tools, and their schemas suit every client", code == 0, f"exit code {code}: {stderr}")
    check_listing(report, result.get("tools", []))


def check_seven_tools(report: Report, inspector: Inspector) -> dict:
    """Calls every tool. Leaves the secret `KEPT` behind; its view."""

    def succeed(tool: str, arguments: dict) -> dict:
        code, result, stderr = inspector.call(tool, arguments)
        if not report.equal(f"{tool} leaves with exit code 0", code, 0):
            print(f"     {shown(stderr)}")
        return check_success(report, tool, result)

    created = succeed("create_secret", {"name": "DATABASE_PASSWORD", "value": VALUE})
    check_secret(report, "create_secret", created, "DATABASE_PASSWORD")

    got = succeed("get_secret", {"name": "DATABASE_PASSWORD"})
    report.equal("get_secret answers what create_secret did", got, created)

    updated = succeed("update_secret", {"name": "DATABASE_PASSWORD", "value": VALUE + "-new"})
    check_secret(report, "update_secret", updated, "DATABASE_PASSWORD")
    same = ("id", "create_time_ms")
    report.equal("update_secret keeps id and creation", [updated.get(m) for m in same], [created.get(m) for m in same])

    kept = succeed("create_secret", {"name": "KEPT", "value": VALUE})
    listed = succeed("list_secrets", {})
    names = sorted(secret.get("name") for secret in listed.get("secrets", []))
    report.equal("list_secrets answers both secrets", names, ["DATABASE_PASSWORD", "KEPT"])
    report.equal("list_secrets counts them", (listed.get("total_count"), listed.get("has_more")), (2, False))
    first = succeed("list_secrets", {"limit": 1})
    report.equal("list_secrets keeps to `limit`", (len(first.get("secrets", [])), first.get("has_more")), (1, True))

    deleted = succeed("delete_secret", {"name": "DATABASE_PASSWORD"})
    report.equal("delete_secret answers the secret it deleted", deleted, updated)

    key = succeed("create_api_key", {"name": "inspector"})
    report.equal("create_api_key answers the name", key.get("name"), "inspector")
    report.check("create_api_key answers an id", key.get("id"), key)

    expiry = int(time.time() * 1000) + 3_600_000
    scopes = [{"resource_type": "RESOURCE_TYPE_DEVBOXES", "access_level": "ACCESS_LEVEL_READ"}]
    restricted = succeed("create_restricted_key", {"name": "reader", "scopes": scopes, "expires_at_ms": expiry})
    report.equal("create_restricted_key echoes the scopes", restricted.get("scopes"), scopes)
    report.equal("create_restricted_key echoes the expiry", restricted.get("expires_at_ms"), expiry)
    return kept


def check_refusals(report: Report, inspector: Inspector) -> None:
    def refuse(what: str, tool: str, arguments: dict, *named: str) -> None:
        code, result, _ = inspector.call(tool, arguments)
        report.equal(f"{what}: exit code of a tool error", code, TOOL_ERROR)
        report.equal(f"{what}: a tool error", result.get("isError"), True)
        report.contains(f"{what}: the text names {', '.join(named)}", text_of(result), *named)

    refuse("a missing argument", "create_secret", {"name": "LONELY"}, "value")
    refuse("an unknown argument", "get_secret", {"name": "KEPT", "colour": "red"}, "colour")
    refuse("a wrong type", "list_secrets", {"limit": "many"}, "limit")
    refuse("a value outside an enum", "create_restricted_key",
           {"scopes": [{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ALL"}]}, "access_level")
    refuse("a secret that does not exist", "get_secret", {"name": "ABSENT"}, "404")
    refuse("a name that is taken", "create_secret", {"name": "KEPT", "value": VALUE}, "already exists")

    code, _, stderr = inspector.call("drop_all_secrets", {})
    report.equal("an unknown tool: exit code", code, TOOL_ERROR)
    report.contains("an unknown tool: the envelope says so", stderr, "drop_all_secrets")

    # `key=value` turns into the number 7 although the schema says string: take it or say what is wrong.
    code, result, _ = inspector.run("tools/call", "--tool-name", "create_secret", "--tool-arg", "name=SEVEN", "value=7")
    if code == 0:
        check_secret(report, "a number for a string", check_success(report, "a number for a string", result), "SEVEN")
        inspector.call("delete_secret", {"name": "SEVEN"})
    else:
        report.equal("a number for a string: exit code of a tool error", code, TOOL_ERROR)
        report.contains("a number for a string: the text explains", text_of(result), "value", "string")


def check_kept(report: Report, inspector: Inspector, kept: dict) -> None:
    """What was stored before the server was started anew is still there."""
    _, result, _ = inspector.call("get_secret", {"name": "KEPT"})
    report.equal("a secret survives a restart", result.get("structuredContent"), kept)
    _, result, _ = inspector.call("list_secrets", {})
    names = [secret["name"] for secret in (result.get("structuredContent") or {}).get("secrets", [])]
    report.equal("a deletion survives a restart", names, ["KEPT"])


def check_offers(report: Report, inspector: Inspector) -> None:
    """Resources and prompts, and a call that would have to ask the person, which this command line cannot."""

    def answer(method: str, *arguments: str) -> str:
        code, result, stderr = inspector.run(method, *arguments)
        report.check(f"{method} leaves with exit code 0", code == 0, f"exit code {code}: {stderr}")
        return json.dumps(result)

    report.contains("resources are listed", answer("resources/list"), "test://static-text", "test://static-binary")
    report.contains("a template is listed", answer("resources/templates/list"), "test://template/{id}/data")
    report.contains("a template is filled in", answer("resources/read", "--uri", "test://template/41/data"), "41")
    report.contains("prompts are listed", answer("prompts/list"), "test_prompt_with_arguments")
    filled = answer("prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args", "arg1=one", "arg2=two")
    report.contains("a prompt is filled in", filled, "one", "two")
    report.contains("a call that reports progress answers", answer("tools/call", "--tool-name", "test_tool_with_progress"), "text")
    code, result, stderr = inspector.run("tools/call", "--tool-name", "test_input_required_result_elicitation")
    # The stateless protocol has an error of its own for it, the older one has none.
    report.check("a question that cannot be asked: the exit code of an error", code in (1, TOOL_ERROR), code)
    report.contains("a question that cannot be asked: the answer says so", f"{text_of(result)} {stderr}", "elicitation")


def check_silence(report: Report, inspector: Inspector, servers: list[Server]) -> None:
    said = "".join(inspector.transcript)
    report.check("no answer holds a secret's value", VALUE not in said, said)
    for server in servers:
        report.check("the server's log holds no secret's value", VALUE not in server.stderr, server.stderr)


def over_stdio(report: Report, home: Path) -> None:
    inspector = Inspector(serve_command(home / "stdio"), [], home)
    check_connection(report, inspector)
    kept = check_seven_tools(report, inspector)
    check_refusals(report, inspector)
    check_kept(report, inspector, kept)
    for era in ERAS[1:]:
        with report.section(era):
            other = Inspector(serve_command(home / "stdio"), ["--protocol-era", era], home)
            check_connection(report, other)
            check_kept(report, other, kept)
    check_silence(report, inspector, [])


def over_http(report: Report, home: Path, transport: str, era: str) -> None:
    data = home / f"{transport}-{era}"

    def connect(server: Server, era: str = era) -> Inspector:
        url = server.url("/mcp")
        target = url if transport == "http" else url.removesuffix("/mcp") + "/sse"
        return Inspector([target], ["--transport", transport, "--protocol-era", era], home)

    with Server(serve_command(data, "http"), home) as first:
        inspector = connect(first)
        check_connection(report, inspector)
        kept = check_seven_tools(report, inspector)
        check_refusals(report, inspector)
        check_silence(report, inspector, [first])
    report.equal("leaves with exit code 0 when it is asked to end", first.stop(), 0)
    with Server(serve_command(data, "http"), home) as second:
        inspector = connect(second)
        check_kept(report, inspector, kept)
        check_silence(report, inspector, [second])
        for other in ERAS:
            if other != era:
                with report.section(f"then {other}"):
                    inspector = connect(second, other)
                    check_connection(report, inspector)
                    check_kept(report, inspector, kept)


def over_offers(report: Report, home: Path) -> None:
    more = ["--capabilities", str(EXAMPLE)]
    with report.section("stdio"):
        check_offers(report, Inspector([*serve_command(home / "example"), *more], [], home))
    with Server([*serve_command(home / "example", "http"), *more], home) as server:
        url = server.url("/mcp")
        for era in ERAS:
            with report.section(f"http {era}"):
                check_offers(report, Inspector([url], ["--transport", "http", "--protocol-era", era], home))


def main() -> int:
    report = Report("inspector")
    with scratch("inspector") as home:
        with report.section("stdio"):
            over_stdio(report, home)
        for transport, era in (("http", "legacy"), ("http", "modern"), ("sse", "legacy")):
            with report.section(f"{transport} {era}"):
                over_http(report, home, transport, era)
        with report.section("offers"):
            over_offers(report, home)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
