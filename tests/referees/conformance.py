"""Referee: the official conformance suite, two published versions of it, against the shipped example that holds its fixtures.

Everything the suite has for servers is run at every protocol revision it knows, scored or not, and read from the results
it stores: a failed check, an unexpected warning and a check that was skipped all count as failures here, whatever the
suite's exit code says. `--suite all` would add nothing but the scenarios of an extension that is not declared.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from harness import Report, Server, environment, scratch, serve_command, shown

SPEC = Path(__file__).resolve().parents[2] / "capabilities/examples/conformance.yaml"
MODULES = Path(os.environ["NODE_MODULES"])
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"
FORMER_SUITE = MODULES / "conformance-0.1/dist/index.js"
RUN_SECONDS = 420
SCENARIO_SECONDS = 60

# Title, suite, what is asked of it, and how many scenarios that are.
RUNS = (
    ("0.1.16", FORMER_SUITE, ["--suite", "all"], 32),
    ("0.2.0 at 2025-11-25", SUITE, ["--requirements", "2025-11-25"], 33),
    ("0.2.0 at 2026-07-28", SUITE, ["--requirements", "2026-07-28"], 50),
)
# The server asks the client in these, for which the older protocol needs a session.
NEED_A_SESSION = {
    "tools-call-sampling",
    "tools-call-elicitation",
    "elicitation-sep1034-defaults",
    "elicitation-sep1330-enums",
}
# Checks that the suite does not make, or only warns about, for a reason that is not the server's. By mode and scenario.
SKIPPED_BY_THE_SUITE = {"tasks-status-notifications": {"tasks-status-notifications"}}
WITHOUT_SESSIONS = SKIPPED_BY_THE_SUITE | {
    "server-session-lifecycle": {"server-session-lifecycle-skipped"},
    "server-sse-multiple-streams": {"server-sse-multiple-streams-session"},
    "server-sse-polling": {
        "server-sse-polling-session",
        "server-sse-priming-event",
        "server-sse-retry-field",
        "server-sse-disconnect-resume",
    },
}
STAMPED = re.compile(r"^(?:server-)?(?P<scenario>.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z$")


def run_suite(suite: Path, url: str, asked: list[str], results: Path, home: Path, seconds: int) -> str:
    """Runs the suite and leaves its results in a folder. What it printed."""
    done = subprocess.run(
        ["node", str(suite), "server", "--url", url, *asked, "--output-dir", str(results)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(home),
        timeout=seconds,
        check=False,
    )
    return done.stdout


def stored(results: Path) -> dict[str, list[dict]]:
    """The checks of each scenario, from the results of the suite."""
    found = {}
    for path in sorted(results.glob("*/checks.json")):
        folder = STAMPED.match(path.parent.name)
        found[folder["scenario"] if folder else path.parent.name] = json.loads(path.read_text())
    return found


def judge(report: Report, scenario: str, checks: list[dict], excused: set[str]) -> None:
    """One line for a scenario: how many of its checks passed, and whatever did not."""

    def having(*statuses: str) -> list[dict]:
        return [check for check in checks if check["status"] in statuses]

    faults = having("FAILURE") + [check for check in having("WARNING", "SKIPPED") if check["id"] not in excused]
    passed = len(having("SUCCESS"))
    told = [f"{check['status']} {check['id']}: {check.get('errorMessage') or check.get('details')}" for check in faults]
    if not passed and not excused:
        told.append(f"nothing was checked: {[check['id'] for check in checks]}")
    report.check(f"{scenario}: {passed} passed, {len(faults)} failed", not told, "\n       ".join(map(shown, told)))


def scenarios_of(suite: Path, asked: list[str], home: Path) -> list[str]:
    """What the suite would run, by its own list."""
    wanted = asked if asked[0] == "--requirements" else ["--server"]
    done = subprocess.run(
        ["node", str(suite), "list", *wanted],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(home), timeout=SCENARIO_SECONDS, check=True,
    )
    return server_scenarios(done.stdout)


def server_scenarios(listing: str) -> list[str]:
    """The names below the headings for servers, and those marked so among the ones that are not scored."""
    names, is_server = [], False
    for line in listing.splitlines():
        if not line.startswith(" "):
            is_server = line.startswith("Server scenarios")
        elif entry := re.match(r"^ +- (?P<name>\S+)(?: \[(?P<leg>\S+)\])?$", line):
            if is_server or entry["leg"] == "server":
                names.append(entry["name"])
    return names


def check_run(report: Report, title: str, url: str, home: Path, is_stateless: bool) -> None:
    _, suite, asked, expected = next(run for run in RUNS if run[0] == title)
    results = home / f"{title}-{'stateless' if is_stateless else 'sessions'}".replace(" ", "-")
    left_out = NEED_A_SESSION if is_stateless else set()
    names = scenarios_of(suite, asked, home)
    report.equal("the suite has as many scenarios as are pinned", len(names), expected)
    said = ""
    if left_out & set(names):
        # A run cannot leave anything out, so each of the others runs on its own.
        version = ["--spec-version", asked[1]] if asked[0] == "--requirements" else []
        for name in names:
            if name not in left_out:
                one = ["--scenario", name, *version]
                said += run_suite(suite, url, one, results, home, SCENARIO_SECONDS)
    else:
        said = run_suite(suite, url, asked, results, home, RUN_SECONDS)
    found = stored(results)
    missing = [name for name in names if name not in found and name not in left_out]
    report.check("every scenario left its results", not missing, f"{missing}; {said[-1500:]}")
    excuses = WITHOUT_SESSIONS if is_stateless else SKIPPED_BY_THE_SUITE
    for name in names:
        if name in found:
            judge(report, name, found[name], excuses.get(name, set()))


def main() -> int:
    report = Report("conformance")
    with scratch("conformance") as home:
        for mode, flags in (("sessions", []), ("stateless", ["--stateless"])):
            with report.section(mode):
                command = [*serve_command(home / f"{mode}-data", "http"), "--capabilities", str(SPEC), *flags]
                with Server(command, home) as server:
                    url = server.url("/mcp")
                    for title, *_ in RUNS:
                        with report.section(title):
                            check_run(report, title, url, home, mode == "stateless")
                    report.equal("the server is still there, and leaves with exit code 0 when asked", server.stop(), 0)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
