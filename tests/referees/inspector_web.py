"""Referee: MCP Inspector's page in a headless Chromium, which connects, lists the tools, clicks a call and answers what
the server asks the person.

The page speaks through Inspector's own process, over Streamable HTTP and HTTP+SSE.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

from harness import STOP_SECONDS, TOOLS, Report, Server, environment, scratch, serve_command
from inspector import Inspector

MODULES = Path(os.environ["NODE_MODULES"])
# A module is looked for beside the file that imports it.
CLICKS = MODULES.parent / "inspector_web.mjs"
START_SECONDS = 60
PAGE_SECONDS = 240
VALUE = "web-value-5d80c2"
EXAMPLE = Path(__file__).resolve().parents[2] / "capabilities/examples/conformance.yaml"
QUESTION = {"tool": "test_input_required_result_elicitation", "fields": {}, "answer": {"name": "Ada"}, "shows": "Hello, Ada!"}


def free_port() -> int:
    """A port that was free a moment ago: Inspector takes no port that the system picks."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port: int, server: Server) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"nothing listens on port {port}; standard error: {server.stderr[-2000:]}")


def click(browser: str, page: str, call: dict, home: Path) -> dict:
    """One call by the page. What it showed."""
    command = ["node", str(CLICKS), browser, page, json.dumps(call)]
    node = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home)
    )
    try:
        out, err = node.communicate(timeout=PAGE_SECONDS)
    except subprocess.TimeoutExpired:
        # It ends the browser it started when it is asked to leave.
        node.terminate()
        try:
            out, err = node.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            node.kill()
            out, err = node.communicate()
    try:
        return json.loads(out)
    except ValueError:
        return {"errors": [f"no JSON: {out[-1000:]} {err[-1000:]}"]}


def check_page(report: Report, shown: dict) -> str:
    """What every page has to be. Its text."""
    report.equal("the page ran without errors", shown.get("errors"), [])
    report.equal("the page is connected", shown.get("status"), "connected")
    return shown.get("text", "")


def check_secret_page(report: Report, shown: dict, secret: dict) -> None:
    text = check_page(report, shown)
    report.contains("the page lists every tool", text, *TOOLS)
    identifier = secret.get("id", "no id")
    report.check("the call's answer is shown, as text and as structure", text.count(identifier) >= 2, f"{identifier}: {text}")
    report.contains("the page shows the structure as such", text, "Structured Output")
    report.check("the page shows no secret's value", VALUE not in text, text)


def main() -> int:
    report = Report("inspector web")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not report.check("there is a browser", browser, "no `chromium`; Debian's package has that name"):
        return report.done()
    with scratch("inspector-web") as home, Server(serve_command(home / "data", "http"), home) as keyglass:
        url = keyglass.url("/mcp")
        _, result, _ = Inspector([url], ["--transport", "http"], home).call("create_secret", {"name": "WEB", "value": VALUE})
        asked = {"tool": "get_secret", "fields": {"name": "WEB"}, "shows": "sec_"}
        port, token = free_port(), secrets.token_hex(16)
        settings = {
            "HOST": "127.0.0.1",
            "CLIENT_PORT": str(port),
            "MCP_INSPECTOR_API_TOKEN": token,
            "MCP_AUTO_OPEN_ENABLED": "false",
        }

        def page(url: str, transport: str) -> str:
            target = url if transport == "http" else url.removesuffix("/mcp") + "/sse"
            query = {"serverUrl": target, "transport": transport, "autoConnect": token}
            return f"http://127.0.0.1:{port}/?{urllib.parse.urlencode(query)}"

        with Server([os.environ["INSPECTOR_BIN"], "--web"], home, **settings) as inspector:
            with report.section("start"):
                wait_for(port, inspector)
            for transport in ("http", "sse"):
                with report.section(transport):
                    shown = click(browser, page(url, transport), asked, home)
                    check_secret_page(report, shown, result.get("structuredContent") or {})
            with report.section("a question"):
                asking = [*serve_command(home / "example", "http"), "--capabilities", str(EXAMPLE)]
                with Server(asking, home) as server:
                    shown = click(browser, page(server.url("/mcp"), "http"), QUESTION, home)
                    check_page(report, shown)
                    report.contains("the person is asked", shown.get("question", ""), "What is your name?")
        report.check("the server's log holds no secret's value", VALUE not in keyglass.stderr, keyglass.stderr)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
