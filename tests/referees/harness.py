"""What the referees share: starting keyglass and ending it, scratch folders, and one printed line per check.

Standard library only, because every referee runs it in an environment of its own. The binary under test is named by
`KEYGLASS_BIN`. Run as a program, it starts `keyglass backend`, hands its address and root key to a command in the
variables Runloop's clients read (`RUNLOOP_BASE_URL`, `RUNLOOP_API_KEY`) and leaves with that command's exit code:

    python harness.py with-backend -- node client.mjs
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

START_SECONDS = 60
STOP_SECONDS = 20

TOOLS = (
    "create_api_key",
    "create_restricted_key",
    "create_secret",
    "list_secrets",
    "get_secret",
    "update_secret",
    "delete_secret",
)
# What a client may assume of a tool, where no two opinions are possible. `None` leaves a hint open.
HINTS = {
    "create_api_key": {"readOnlyHint": False, "idempotentHint": False},
    "create_restricted_key": {"readOnlyHint": False, "idempotentHint": False},
    "create_secret": {"readOnlyHint": False, "destructiveHint": False},
    "list_secrets": {"readOnlyHint": True, "destructiveHint": False},
    "get_secret": {"readOnlyHint": True, "destructiveHint": False},
    "update_secret": {"readOnlyHint": False, "destructiveHint": True},
    "delete_secret": {"readOnlyHint": False, "destructiveHint": True},
}
ALL_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
SECRET_MEMBERS = {"id", "name", "create_time_ms", "update_time_ms"}


def binary() -> str:
    """The keyglass binary under test."""
    return os.environ["KEYGLASS_BIN"]


# Nobody is there who could be asked, and what comes back is compared with what was stored.
UNASKED = ("--secrets", "clear", "--confirm", "destructive=allow", "--confirm", "exec=allow", "--confirm", "grant=allow")


def serve_command(data_dir: Path, transport: str = "stdio") -> list[str]:
    """The command line of an MCP server on the embedded backend: `stdio`, or `http` on a port the system picks."""
    command = [binary(), "serve", "--data-dir", str(data_dir), *UNASKED]
    if transport == "http":
        command += ["--http", "127.0.0.1:0"]
    return command


def backend_command(data_dir: Path) -> list[str]:
    """The command line of the embedded backend alone, on a port the system picks."""
    return [binary(), "backend", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a started program gets to see: nothing of the developer's settings, a home folder of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "NO_COLOR": "1", **more}


@contextlib.contextmanager
def scratch(name: str):
    """A new empty folder, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"keyglass-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """A keyglass process that was started here: its standard error as it grows, and its end."""

    def __init__(self, command: list[str], home: Path, **more_environment: str):
        self.command = command
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(home, **more_environment),
        )
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()

    def _read(self) -> None:
        for line in self._process.stderr:
            with self._grown:
                self._lines.append(line)
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    @property
    def stderr(self) -> str:
        with self._grown:
            return "".join(self._lines)

    def url(self, path: str = "") -> str:
        """The address this server says it listens on, once it says so: the one that ends in `path`."""
        pattern = re.compile(r"http://(127\.0\.0\.1:\d+)" + re.escape(path) + r"(?![\w/.-])")
        deadline = time.monotonic() + START_SECONDS
        with self._grown:
            while True:
                if found := pattern.search("".join(self._lines)):
                    return f"http://{found.group(1)}{path}"
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    break
                self._grown.wait(min(left, 0.5))
        self.stop()
        raise RuntimeError(
            f"`{' '.join(self.command)}` named no address http://127.0.0.1:PORT{path} on standard error; "
            f"exit code {self._process.returncode}, standard error: {self.stderr[-2000:]!r}"
        )

    def stop(self) -> int:
        """Ends the process by SIGTERM, by SIGKILL when it does not leave in time. Its exit code, negative for a signal."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        self._pump.join(STOP_SECONDS)
        return self._process.returncode

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_) -> None:
        self.stop()


class Report:
    """Prints one line per check and counts them."""

    def __init__(self, name: str):
        self.name = name
        self.passed = 0
        self.failed = 0
        self._context: list[str] = []

    def check(self, what: str, holds: object, got: object = None) -> bool:
        """Passes when `holds` is true; `got` is printed when it is not."""
        where = "".join(f"{part}: " for part in self._context)
        if holds:
            self.passed += 1
            print(f"ok   {where}{what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {where}{what}; got {shown(got)}", flush=True)
        return bool(holds)

    def equal(self, what: str, got: object, expected: object) -> bool:
        """Passes when both values are equal; both are printed when they are not."""
        if got == expected:
            return self.check(what, True)
        where = "".join(f"{part}: " for part in self._context)
        self.failed += 1
        print(f"FAIL {where}{what}; expected {shown(expected)}, got {shown(got)}", flush=True)
        return False

    def contains(self, what: str, text: str, *parts: str) -> bool:
        """Passes when the text holds every part, whatever the case."""
        missing = [part for part in parts if part.lower() not in text.lower()]
        return self.check(what, not missing, f"{text!r}, which lacks {missing}")

    @contextlib.contextmanager
    def section(self, title: str):
        """Names the checks inside. An exception ends the section as a failed check and does not end the run."""
        self._context.append(title)
        try:
            yield
        except Exception as error:  # noqa: BLE001 — the referee reports whatever its client raised
            trace = "".join(traceback.format_exception(error)).strip()
            self.check("runs to its end", False, f"{type(error).__name__}: {error}")
            print("     " + "\n     ".join(trace.splitlines()[-25:]), flush=True)
        finally:
            self._context.pop()

    def done(self) -> int:
        """Prints the sum; the exit code."""
        print(f"{self.name}: {self.passed} checks ok, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def shown(value: object) -> str:
    """A value as it is printed in a failed check, cut at a readable length."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 1500 else text[:1500] + " …"


def check_listing(report: Report, tools: list[dict]) -> None:
    """What every client has to see of the tool list. Tools as on the wire."""
    report.equal("lists exactly the seven tools", sorted(tool["name"] for tool in tools), sorted(TOOLS))
    for tool in tools:
        name = tool["name"]
        annotations = tool.get("annotations") or {}
        given = {hint: annotations.get(hint) for hint in ALL_HINTS}
        report.check(f"{name} has a title and a description", tool.get("title") and tool.get("description"), tool)
        report.check(f"{name} has all four hints", all(isinstance(v, bool) for v in given.values()), given)
        expected = HINTS.get(name, {})
        report.equal(f"{name} has the right hints", {hint: given[hint] for hint in expected}, expected)
        for member in ("inputSchema", "outputSchema"):
            schema = tool.get(member)
            report.equal(f"{name} has an object {member}", isinstance(schema, dict) and schema.get("type"), "object")


def text_of(result: dict) -> str:
    """The text blocks of a tool result, joined."""
    return "\n".join(block.get("text", "") for block in result.get("content") or [] if block.get("type") == "text")


def check_success(report: Report, what: str, result: dict) -> dict:
    """A call that succeeded: no error, and the text block is the structured content. The structured content."""
    structured = result.get("structuredContent")
    report.check(f"{what} succeeds", not result.get("isError"), result)
    report.check(f"{what} answers an object", isinstance(structured, dict), result)
    try:
        from_text = json.loads(text_of(result))
    except ValueError:
        from_text = f"no JSON: {text_of(result)}"
    report.equal(f"{what} says the same in text and in structure", from_text, structured)
    return structured if isinstance(structured, dict) else {}


def check_secret(report: Report, what: str, view: dict, name: str) -> None:
    """The view of a secret: exactly the published members, never a value."""
    report.equal(f"{what} answers exactly a secret's members", set(view), SECRET_MEMBERS)
    report.equal(f"{what} answers the secret `{name}`", view.get("name"), name)
    report.check(f"{what} answers an id `sec_…`", str(view.get("id", "")).startswith("sec_"), view)
    times = [view.get("create_time_ms"), view.get("update_time_ms")]
    recent = all(isinstance(t, int) and abs(t / 1000 - time.time()) < 3600 for t in times)
    report.check(f"{what} answers times in Unix milliseconds", recent and times[0] <= times[1], times)


def check_sealed(report: Report, folder: Path, needle: str) -> None:
    """The store below a folder exists and holds these bytes in none of its files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    holding = [str(path.relative_to(folder)) for path in files if needle.encode() in path.read_bytes()]
    report.check("the store has files", files, folder)
    report.equal("no file of the store holds a secret's value", holding, [])


def with_backend(command: list[str]) -> int:
    """Runs a command beside a fresh backend. Values of secrets have to hold the word `canary`, to be found in the log."""
    with scratch("backend") as folder:
        data = folder / "data"
        with Server(backend_command(data), folder, KEYGLASS_LOG="trace") as server:
            base = server.url()
            key = (data / "root.key").read_text().strip()
            more = {"RUNLOOP_BASE_URL": base, "RUNLOOP_API_KEY": key}
            code = subprocess.run(command, env=environment(folder, **more), timeout=600, check=False).returncode
        report = Report("backend")
        for what, trace in (("secret's value", "canary"), ("key", key)):
            lines = [line for line in server.stderr.splitlines() if trace in line]
            report.check(f"the log, every level of it, holds no {what}", not lines, lines[:1])
        check_sealed(report, data, "canary")
        return report.done() or code


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1:3] != ["with-backend", "--"]:
        sys.exit("usage: harness.py with-backend -- COMMAND…")
    sys.exit(with_backend(sys.argv[3:]))
