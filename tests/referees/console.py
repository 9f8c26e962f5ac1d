"""Referee: the person's side. The console in a headless Chromium (`console.mjs`), and `approve` and `reveal` at a terminal.

Questions and handles come from a helper inside the integration tests, which the variable `ASKER` names.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness import STOP_SECONDS, Report, binary, environment, scratch

CLICKS = Path(os.environ["NODE_MODULES"]).parent / "console.mjs"
START_SECONDS = 60
PAGE_SECONDS = 600
TERMINAL_SECONDS = 30
VALUE = "canary-terminal-20be"


class Asker:
    """Asks questions and keeps values in a data folder."""

    def __init__(self, data: Path):
        self._process = subprocess.Popen(
            [os.environ["ASKER"], "console::asker", "--exact", "--ignored", "--nocapture"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "ASKER_DATA": str(data)},
        )

    def tell(self, **order: object) -> dict:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("asker: "):
                return json.loads(line.removeprefix("asker: "))
        raise RuntimeError("who asks has ended")

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS)


def at_terminal(home: Path, arguments: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Runs keyglass at a terminal of its own. Waits for each question and writes its answer. Exit code and screen."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(binary(), [binary(), *arguments], environment(home))
    screen, left, deadline = "", list(answers), time.monotonic() + TERMINAL_SECONDS
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                read = os.read(terminal, 4096)
            except OSError:
                break
            if not read:
                break
            screen += read.decode(errors="replace")
        if left and left[0][0] in screen:
            # A program that hides what is written switches the terminal before it asks, but may do so a moment later.
            time.sleep(0.3)
            os.write(terminal, left.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), screen


def check_terminal(report: Report, home: Path) -> None:
    data = home / "terminal"
    data.mkdir()
    shown = {"tool": "delete_secret", "title": "Delete a secret", "risk": "destructive", "reason": "its name says delete",
             "principal": "local", "client": "referee", "request": "POST http://127.0.0.1/a\n", "confirms": True}
    options = ["--data-dir", str(data)]
    with Asker(data) as asker:
        code = asker.tell(do="ask", call=1, shown=shown)["code"]
        answers = [("code of the call", code.lower()), ("`yes` confirms", "maybe"), ("`maybe` is neither", "")]
        exit_code, screen = at_terminal(home, ["approve", *options], answers)
        report.equal("undecided: exit code", exit_code, 0)
        report.contains("the call is listed and shown", screen, code, "delete_secret", "its name says delete", "POST http://127.0.0.1/a")
        report.equal("nothing leaves it waiting", asker.tell(do="take", call=1)["state"], "waiting")
        exit_code, screen = at_terminal(home, ["approve", code, *options], [("`yes` confirms", "yes")])
        report.contains("it says so", screen, "Confirmed")
        report.equal("confirmed", asker.tell(do="take", call=1), {"state": "confirmed", "by": "terminal", "entered": {}})
        code = asker.tell(do="ask", call=2, shown=shown)["code"]
        at_terminal(home, ["approve", code, *options], [("`yes` confirms", "no")])
        report.equal("refused", asker.tell(do="take", call=2), {"state": "refused", "by": "terminal"})
        asked = {**shown, "words": "all of it", "entries": [{"pointer": "/value", "label": "the value of A"}]}
        code = asker.tell(do="ask", call=3, shown=asked)["code"]
        _, screen = at_terminal(home, ["approve", code, *options], [("to confirm, write `all of it`", "all of it"), ("the value of A (not shown): ", VALUE)])
        report.check("what is entered is not shown", VALUE not in screen, screen)
        taken = asker.tell(do="take", call=3)
        report.equal("words and value arrive", taken, {"state": "confirmed", "by": "terminal", "entered": {"/value": VALUE}})
        handle = asker.tell(do="keep", value=VALUE + "\n\x1b[2J", tool="create_api_key", place="/key", about="ci")["handle"]
        exit_code, screen = at_terminal(home, ["reveal", handle, *options], [])
        report.equal("reveal: exit code", exit_code, 0)
        report.contains("a terminal shows the value", screen, VALUE, "\\u{1b}[2J")
        report.check("and obeys none of it", "\x1b[2J" not in screen, screen)
        exit_code, screen = at_terminal(home, ["reveal", handle, *options], [])
        report.check("once", exit_code == 64 and "revealed already" in screen and VALUE not in screen, screen)


def check_browser(report: Report, home: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not report.check("there is a browser", browser, "no `chromium`; Debian's package has that name"):
        return
    data = home / "browser"
    console = subprocess.Popen(
        [binary(), "console", "--data-dir", str(data)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home),
    )
    try:
        link = console.stdout.readline().strip()
        if not report.check("it prints a link", re.fullmatch(r"http://127\.0\.0\.1:\d+/#[0-9a-f]{64}", link), link):
            return
        more = {"CONSOLE_LINK": link, "ASKER": os.environ["ASKER"], "ASKER_DATA": str(data)}
        done = subprocess.run(["node", str(CLICKS), browser], env=environment(home, **more), timeout=PAGE_SECONDS, check=False)
        report.equal("the browser's checks", done.returncode, 0)
    finally:
        console.terminate()
        _, log = console.communicate(timeout=STOP_SECONDS)
    report.equal("it leaves when it is asked to", console.returncode, 0)
    report.check("its log holds no value", "canary" not in log, log)


def main() -> int:
    report = Report("console")
    with scratch("console") as home:
        with report.section("terminal"):
            check_terminal(report, home)
        with report.section("browser"):
            check_browser(report, home)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
