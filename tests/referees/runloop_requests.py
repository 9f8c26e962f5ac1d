"""Referee: an OpenAPI validator that other people wrote, over every request that Runloop's capability specs lead to.

One `keyglass serve` process is asked for its tools over stdio. Each tool is called twice, with arguments made from its
listed schema alone: the required ones, and all. A stand-in for the service records what arrives, and openapi-core checks
method, path, query, headers, security and body against Runloop's OpenAPI document. That document is made strict first:
a query parameter or a member of a body that it does not declare is a mistake here, and so is one that no argument leads
to.

The specs and the document are no part of this repository. They are looked for in `../shared/corpus/runloop-ai` beside
it; where that folder is absent this referee says so and leaves with 77.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest

from harness import UNASKED, Report, binary, environment, scratch, shown, text_of

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus/runloop-ai"
HOST = "https://api.runloop.ai"
KEY = "canary-key-51d0"
SKIPPED = 77
CALL_SECONDS = 60
FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1S",
    "uuid": "01234567-89ab-cdef-0123-456789abcdef",
    "uri": "https://example.com/a?b=c",
    "email": "a@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "byte": "AAEC",
}


# Arguments


def value(schema: object, name: str, everything: bool, depth: int = 0) -> object:
    """The value of a schema: the plainest one that it allows, with all optional members or with none."""
    if not isinstance(schema, dict):
        return name
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][-1 if everything else 0]
    for word in ("oneOf", "anyOf"):
        if schema.get(word):
            options = [option for option in schema[word] if option.get("type") != "null"]
            rest = {key: inner for key, inner in schema.items() if key != word}
            return value({**rest, **options[0]}, name, everything, depth)
    if schema.get("allOf"):
        merged: dict = {key: inner for key, inner in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            merged["properties"] = {**merged.get("properties", {}), **part.get("properties", {})}
            merged["required"] = [*merged.get("required", []), *part.get("required", [])]
            merged.setdefault("type", part.get("type"))
        return value(merged, name, everything, depth)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    if kind == "object" or "properties" in schema:
        return members(schema, everything, depth)
    if kind == "array":
        length = max(schema.get("minItems", 0), 1 if everything else 0)
        return [value(schema.get("items"), name, everything, depth + 1)] * length
    if kind == "integer":
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
    if kind == "number":
        return max(schema.get("minimum", 1.5), schema.get("exclusiveMinimum", 0) + 0.5)
    if kind == "boolean":
        return everything
    if schema.get("contentEncoding") == "base64":
        return "aGVsbG8="
    text = FORMATS.get(schema.get("format"), name if depth else f"{name} é/&=?1")
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]


def members(schema: dict, everything: bool, depth: int = 0) -> dict:
    """The object of a schema."""
    properties = schema.get("properties", {})
    names = properties if everything else schema.get("required", [])
    made = {name: value(properties.get(name), name, everything, depth + 1) for name in names}
    more = schema.get("additionalProperties")
    if everything and not properties and more is not False:
        made["any"] = value(more if isinstance(more, dict) else {}, "any", everything, depth + 1)
    return made


def arguments_of(tool: dict, everything: bool) -> dict:
    """A tool's arguments. Top-level texts hold what has to be encoded in a path and in a query."""
    schema = tool["inputSchema"]
    names = schema.get("properties", {}) if everything else schema.get("required", [])
    return {name: value(schema["properties"][name], name, everything) for name in names}


# The service and the program


class Service:
    """Stands in for Runloop: answers everything with an empty object, and keeps what arrived."""

    def __init__(self) -> None:
        self.arrived: list[dict] = []
        arrived = self.arrived

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                arrived.append({"method": self.command, "target": self.path, "headers": self.headers, "body": body})
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


class Keyglass:
    """`keyglass serve` over stdio, one request at a time."""

    def __init__(self, service: Service, home: Path):
        command = [binary(), "serve", "--capabilities", str(CORPUS / "capabilities")]
        command += ["--schemas", str(CORPUS / "openapi"), "--data-dir", str(home / "data")]
        command += ["--backend", service.url, "--credential", "env:STAND_IN_KEY", *UNASKED]
        self.log = open(home / "log", "w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            env=environment(home, STAND_IN_KEY=KEY),
        )
        self.answers: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.last = 0
        client = {"name": "referee", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _read(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line)
            if "id" in message:
                self.answers.put(message)
        self.answers.put(None)

    def _send(self, message: dict) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, method: str, parameters: dict) -> dict:
        """The result of a request; an error of the protocol is one with `isError`."""
        self.last += 1
        self._send({"jsonrpc": "2.0", "id": self.last, "method": method, "params": parameters})
        answer = self.answers.get(timeout=CALL_SECONDS)
        if answer is None:
            self.log.seek(0)
            raise RuntimeError(f"the program ended: {self.log.read()[-2000:]}")
        if "error" in answer:
            return {"isError": True, "content": [{"type": "text", "text": json.dumps(answer["error"])}]}
        return answer["result"]

    def tools(self) -> list[dict]:
        found: list[dict] = []
        cursor: dict = {}
        while True:
            page = self.ask("tools/list", cursor)
            found += page["tools"]
            if not page.get("nextCursor"):
                return found
            cursor = {"cursor": page["nextCursor"]}

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


# The validator


def close(node: object) -> None:
    """Makes every object schema that names its members refuse others."""
    if isinstance(node, dict):
        open_parts = node.get("allOf", [])
        if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and not open_parts:
            node["additionalProperties"] = False
        for inner in node.values():
            close(inner)
    elif isinstance(node, list):
        for inner in node:
            close(inner)


def causes(error: BaseException) -> str:
    """An error of the validator with what led to it, down to the places in the body."""
    at: BaseException | None = error
    parts = [str(error) or type(error).__name__]
    while at is not None:
        if places := list(getattr(at, "schema_errors", None) or []):
            return "; ".join([parts[0], *(f"{inner.json_path}: {inner.message[:200]}" for inner in places[:6])])
        parts.append(str(at) or type(at).__name__)
        at = at.__cause__ or at.__context__
    return "; ".join(dict.fromkeys(parts))


class Contract:
    """Runloop's OpenAPI document, and which of its operations each tool has to call."""

    def __init__(self) -> None:
        self.document = yaml.safe_load((CORPUS / "openapi/runloop-api-openapi.yml").read_text("utf-8"))
        close(self.document["components"]["schemas"])
        self.validator = OpenAPI.from_dict(self.document)
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if isinstance(operation, dict) and "operationId" in operation
        }
        self.tools: dict[str, str] = {}
        for file in sorted((CORPUS / "capabilities").glob("*.yaml")):
            capability = yaml.safe_load(file.read_text("utf-8"))["capability"]
            for server in capability["exposes"]:
                for tool in server.get("tools", []) if server["type"] == "mcp" else []:
                    self.tools[tool["name"]] = tool["call"].split(".", 1)[1]

    def resolved(self, schema: dict) -> dict:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def problems(self, request: dict, operation_id: str, arguments: dict, everything: bool) -> list[str]:
        """All that is wrong with a request, as sentences."""
        method, pattern, operation = self.operations[operation_id]
        url = urlsplit(request["target"])
        query = parse_qsl(url.query, keep_blank_values=True, errors="strict")
        headers = {name.lower(): text for name, text in request["headers"].items()}
        found = []
        if request["method"] != method:
            found.append(f"the method is {request['method']}, not {method}")
        groups = re.fullmatch(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/?#]+)", re.escape(pattern)), url.path)
        if not groups:
            found.append(f"the path is {url.path}, not {pattern}")
        for name, sent in (groups.groupdict() if groups else {}).items():
            if name in arguments and unquote(sent, errors="strict") != arguments[name]:
                found.append(f"`{name}` of the path arrived as `{sent}`")
        if headers.get("authorization") != f"Bearer {KEY}":
            found.append("the credential did not arrive as a bearer token")

        declared = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
        patterns = {name: re.escape(name).replace(r"\[key\]", r"\[[^\]]+\]") for name in declared}
        for name, _ in query:
            if not any(re.fullmatch(form, name) for form in patterns.values()):
                found.append(f"the query parameter `{name}` is not declared")
        if everything:
            for name, form in patterns.items():
                if not any(re.fullmatch(form, sent) for sent, _ in query):
                    found.append(f"no argument leads to the query parameter `{name}`")
        for name, sent in query:
            if name in arguments and isinstance(arguments[name], str) and sent != arguments[name]:
                found.append(f"`{name}` of the query arrived as `{sent}`")

        found += self.body_problems(request, operation, headers, everything)
        mock = MockRequest(
            HOST,
            request["method"],
            url.path,
            args=query,
            headers=headers,
            data=request["body"] or None,
            content_type=headers.get("content-type", ""),
        )
        try:
            found += [causes(error) for error in self.validator.iter_request_errors(mock)]
        except Exception as error:  # noqa: BLE001 — what no path of the document fits is raised, not listed
            found.append(causes(error))
        return found

    def body_problems(self, request: dict, operation: dict, headers: dict, everything: bool) -> list[str]:
        content = operation.get("requestBody", {}).get("content", {})
        sent = request["body"]
        if not content:
            return [f"a body was sent where none is declared: {shown(sent)}"] if sent else []
        media_type = headers.get("content-type", "").split(";")[0]
        if sent and media_type not in content:
            return [f"the body is `{media_type}`, not {' or '.join(content)}"]
        if media_type != "application/json" or not everything:
            return ["all arguments were given, but no body was sent"] if everything and not sent else []
        schema = self.resolved(content[media_type]["schema"])
        body = json.loads(sent)
        missing = [name for name in schema.get("properties", {}) if not isinstance(body, dict) or name not in body]
        return [f"no argument leads to the members {missing} of the body"] if missing else []


def main() -> int:
    if not CORPUS.is_dir():
        print("SKIPPED: there is no folder `../shared/corpus` beside this repository; no request was checked")
        return SKIPPED
    report = Report("runloop requests")
    contract = Contract()
    service = Service()
    right = Counter()
    with scratch("requests") as home:
        keyglass = Keyglass(service, home)
        tools = {tool["name"]: tool for tool in keyglass.tools()}
        report.equal("the tools are those of the specs", sorted(tools), sorted(contract.tools))
        report.equal(
            "the specs have an operation for each of the document",
            sorted(contract.tools.values()),
            sorted(contract.operations),
        )
        for name in sorted(tools.keys() & contract.tools.keys()):
            found = []
            for everything in (False, True):
                what = "all arguments" if everything else "the required arguments"
                arguments = arguments_of(tools[name], everything)
                before = len(service.arrived)
                result = keyglass.ask("tools/call", {"name": name, "arguments": arguments})
                arrived = service.arrived[before:]
                if len(arrived) != 1:
                    found.append(f"with {what} {len(arrived)} requests arrived: {shown(text_of(result))}")
                    continue
                problems = contract.problems(arrived[0], contract.tools[name], arguments, everything)
                found += [f"with {what}: {problem}" for problem in problems]
                right[what] += not problems
            report.check(f"{name} makes the request of {contract.tools[name]}", not found, "\n       ".join(found))
        keyglass.stop()
    for what in ("the required arguments", "all arguments"):
        print(f"with {what}: {right[what]} of {len(contract.operations)} requests are as declared")
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
