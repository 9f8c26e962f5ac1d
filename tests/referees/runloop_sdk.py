"""Referee: Runloop's own Python SDK against the embedded backend, synchronous and asynchronous.

Strict response validation is on: the SDK raises when an answer is not of the published type. Every request is counted,
because the SDK silently repeats what it takes for a passing fault: a call that needs a second request has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from importlib.metadata import version
from pathlib import Path

import runloop_api_client as runloop

from harness import Report, Server, backend_command, check_sealed, scratch

CANARY = "canary-3e5a77-line one\nline two \"quoted\" \\ ünïcode"
CANARY_TRACE = "canary-3e5a77"
MEMBERS = {"id", "name", "create_time_ms", "update_time_ms"}


class Wire:
    """Counts the requests of one client and keeps the answers."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.answers: list[str] = []

    def sent(self, request) -> None:
        retry = request.headers.get("x-stainless-retry-count", "0")
        self.requests.append(f"{request.method} {request.url.path} retry {retry}")

    def received(self, response) -> None:
        response.read()
        self.answers.append(f"{response.headers} {response.text}")

    async def sent_async(self, request) -> None:
        self.sent(request)

    async def received_async(self, response) -> None:
        await response.aread()
        self.answers.append(f"{response.headers} {response.text}")


class Backend:
    """The running backend and the clients made for it."""

    def __init__(self, base_url: str):
        self.base_url = base_url
        self.wires: list[Wire] = []
        self.keys: list[str] = []

    def _wire(self) -> Wire:
        self.wires.append(Wire())
        return self.wires[-1]

    def client(self, key: str, *, strict: bool = True) -> runloop.Runloop:
        self.keys += [key] if key.startswith(("ak_", "rk_")) else []
        wire = self._wire()
        http = runloop.DefaultHttpxClient(event_hooks={"request": [wire.sent], "response": [wire.received]})
        return runloop.Runloop(
            bearer_token=key, base_url=self.base_url, http_client=http, _strict_response_validation=strict
        )

    def async_client(self, key: str) -> runloop.AsyncRunloop:
        wire = self._wire()
        http = runloop.DefaultAsyncHttpxClient(
            event_hooks={"request": [wire.sent_async], "response": [wire.received_async]}
        )
        return runloop.AsyncRunloop(
            bearer_token=key, base_url=self.base_url, http_client=http, _strict_response_validation=True
        )


def refused(report: Report, what: str, error: type[Exception], call, *texts: str) -> None:
    """The call has to raise exactly this error, with these texts in its message."""
    try:
        answer = call()
    except runloop.APIStatusError as raised:
        report.equal(f"{what}: the error", type(raised).__name__, error.__name__)
        body = raised.response.json()
        report.check(f"{what}: the body is an object with a message", isinstance(body.get("message"), str), body)
        report.contains(f"{what}: the message", str(body.get("message")), *texts)
    except runloop.APIError as raised:
        report.check(f"{what}: {error.__name__}", False, raised)
    else:
        report.check(f"{what}: {error.__name__}", False, answer)


def scope(resource: str, level: str) -> dict:
    return {"resource_type": f"RESOURCE_TYPE_{resource}", "access_level": f"ACCESS_LEVEL_{level}"}


def check_secrets(report: Report, client: runloop.Runloop) -> None:
    before = time.time() * 1000 - 5000
    created = client.secrets.create(name="DB_PASS", value=CANARY)
    report.equal("create answers exactly the published members", set(created.to_dict()), MEMBERS)
    report.check("create answers an id `sec_…`", created.id.startswith("sec_"), created.id)
    report.check("create answers its time", before < created.create_time_ms <= time.time() * 1000 + 5000, created)
    report.equal("retrieve answers the same", client.secrets.retrieve("DB_PASS"), created)

    updated = client.secrets.update("DB_PASS", value=CANARY + "2")
    same = (created.id, created.name, created.create_time_ms)
    report.equal("update keeps id, name and creation", (updated.id, updated.name, updated.create_time_ms), same)
    report.check("update moves the update time", updated.update_time_ms >= created.update_time_ms, updated)

    second = client.secrets.create(name="my-hyphenated-secret", value=CANARY)
    page = client.secrets.list()
    report.equal("list: newest first", [view.name for view in page.secrets], ["my-hyphenated-secret", "DB_PASS"])
    report.equal("list: counts", (page.total_count, page.has_more), (2, False))
    short = client.secrets.list(limit=1)
    report.equal("list with limit 1", (len(short.secrets), short.total_count, short.has_more), (1, 2, True))
    report.equal("list with a limit above the maximum", len(client.secrets.list(limit=9999).secrets), 2)
    refused(report, "list with limit 0", runloop.BadRequestError, lambda: client.secrets.list(limit=0), "limit")

    refused(report, "a name that is taken", runloop.BadRequestError,
            lambda: client.secrets.create(name="DB_PASS", value=CANARY), "already exists")
    for name in ("", "1ST", "A B", "A/B", "A.B", "Ä"):
        refused(report, f"create with the name {name!r}", runloop.BadRequestError,
                lambda name=name: client.secrets.create(name=name, value=CANARY))
    refused(report, "create without a value", runloop.BadRequestError,
            lambda: client.post("/v1/secrets", body={"name": "LONELY"}, cast_to=object), "value")
    refused(report, "create with a number for a value", runloop.BadRequestError,
            lambda: client.post("/v1/secrets", body={"name": "LONELY", "value": 7}, cast_to=object), "value")
    for name in ("ABSENT", "A/B", "../apikeys", "%2e%2e", "ä"):
        refused(report, f"retrieve {name!r}", runloop.NotFoundError, lambda name=name: client.secrets.retrieve(name))
    refused(report, "update of nothing", runloop.NotFoundError, lambda: client.secrets.update("ABSENT", value=CANARY))
    refused(report, "delete of nothing", runloop.NotFoundError, lambda: client.secrets.delete("ABSENT"))

    if hasattr(client.secrets, "retrieve_by_id"):
        # Newer clients can also name a secret by its id.
        by_id = client.secrets
        report.equal("retrieve by id", by_id.retrieve_by_id(created.id), updated)
        changed = by_id.update_by_id(created.id, value=CANARY + "3")
        report.equal("update by id keeps id and name", (changed.id, changed.name), (created.id, created.name))
        other = client.secrets.create(name="BY_ID", value=CANARY)
        report.equal("delete by id answers the secret", by_id.delete_by_id(other.id), other)
        for what, unknown in (("a deleted id", other.id), ("a name in place of an id", "DB_PASS")):
            refused(report, f"retrieve {what}", runloop.NotFoundError, lambda u=unknown: by_id.retrieve_by_id(u))
            refused(report, f"update {what}", runloop.NotFoundError,
                    lambda u=unknown: by_id.update_by_id(u, value=CANARY))
            refused(report, f"delete {what}", runloop.NotFoundError, lambda u=unknown: by_id.delete_by_id(u))
        report.equal("an id is no name", client.secrets.retrieve("DB_PASS").id, created.id)
    report.equal("delete answers the secret", client.secrets.delete(second.name), second)
    named_id = client.secrets.create(name="id", value=CANARY)
    report.equal("a secret may be called `id`: retrieve", client.secrets.retrieve("id"), named_id)
    report.equal("a secret may be called `id`: delete", client.secrets.delete("id"), named_id)

    deleted = client.secrets.delete("DB_PASS")
    report.equal("delete answers what it deleted", deleted.id, created.id)
    refused(report, "a deleted secret", runloop.NotFoundError, lambda: client.secrets.retrieve("DB_PASS"))
    report.equal("nothing is left", (client.secrets.list().secrets, client.secrets.list().total_count), ([], 0))
    again = client.secrets.create(name="DB_PASS", value=CANARY)
    report.check("a name made anew is a new secret, its id sorts after", again.id > created.id, (created.id, again.id))
    client.secrets.delete("DB_PASS")


def check_keys(report: Report, backend: Backend, client: runloop.Runloop) -> None:
    account = client.accounts.me()
    report.check("accounts.me answers the account", account.id and account.name, account)
    report.equal("accounts.me: the account is enabled", account.account_status, "ACCOUNT_STATUS_ENABLED")

    key = client.apikeys.create(name="ci")
    report.equal("an API key: name and no expiry", (key.name, key.expires_at_ms), ("ci", None))
    report.check("an API key begins with ak_", (key.key_secret or "").startswith("ak_"), key.id)
    report.equal("a new API key works", backend.client(key.key_secret).accounts.me().id, account.id)
    report.check("an API key needs no name", client.apikeys.create().key_secret)
    explicit = client.apikeys.create(name="never", expires_at_ms=None)
    report.equal("an expiry of null means none", explicit.expires_at_ms, None)
    refused(report, "an expiry in the past", runloop.BadRequestError,
            lambda: client.apikeys.create(name="late", expires_at_ms=1), "expires_at_ms")
    refused(report, "an expiry that is no integer", runloop.BadRequestError,
            lambda: client.apikeys.create(extra_body={"expires_at_ms": "tomorrow"}), "expires_at_ms")

    scopes = [scope("ACCOUNT", "READ"), scope("DEVBOXES", "WRITE")]
    reader = client.restricted_keys.create(name="reader", scopes=scopes)
    report.check("a restricted key begins with rk_", (reader.key_secret or "").startswith("rk_"), reader.id)
    report.equal("a restricted key echoes its scopes", [entry.to_dict() for entry in reader.scopes or []], scopes)
    for bad in ([scope("ACCOUNT", "ALL")], [scope("MOON", "READ")], [{"resource_type": "RESOURCE_TYPE_ACCOUNT"}]):
        refused(report, f"the scopes {bad}", runloop.BadRequestError,
                lambda bad=bad: client.restricted_keys.create(name="bad", scopes=bad), "scopes")
    lenient = backend.client(client.bearer_token, strict=False)
    old = lenient.restricted_keys.create(name="old", scopes=[scope("REPO_CONNECTIONS", "READ")])
    report.equal("a scope type older than this client is echoed",
                 [entry.resource_type for entry in old.scopes or []], ["RESOURCE_TYPE_REPO_CONNECTIONS"])

    client.secrets.create(name="GUARDED", value=CANARY)

    def with_scopes(*entries: dict) -> runloop.Runloop:
        made = client.restricted_keys.create(name="probe", scopes=list(entries))
        return backend.client(made.key_secret)

    limited = backend.client(reader.key_secret)
    report.equal("ACCOUNT read may list", [view.name for view in limited.secrets.list().secrets], ["GUARDED"])
    report.equal("ACCOUNT read may retrieve", limited.secrets.retrieve("GUARDED").name, "GUARDED")
    denied = runloop.PermissionDeniedError
    refused(report, "ACCOUNT read may not create", denied, lambda: limited.secrets.create(name="X", value=CANARY))
    refused(report, "ACCOUNT read may not update", denied, lambda: limited.secrets.update("GUARDED", value=CANARY))
    refused(report, "ACCOUNT read may not delete", denied, lambda: limited.secrets.delete("GUARDED"))
    refused(report, "ACCOUNT read may not make a key", denied, lambda: limited.apikeys.create(name="wider"))
    refused(report, "ACCOUNT read may not make a restricted key", denied,
            lambda: limited.restricted_keys.create(scopes=[scope("ACCOUNT", "WRITE")]))
    for what, powerless in (("DEVBOXES write", with_scopes(scope("DEVBOXES", "WRITE"))),
                            ("ACCOUNT none", with_scopes(scope("ACCOUNT", "NONE"))), ("no scope", with_scopes())):
        refused(report, f"{what} may not list", denied, powerless.secrets.list)
        refused(report, f"{what} learns nothing of names", denied, lambda c=powerless: c.secrets.retrieve("ABSENT"))
    writer = with_scopes(scope("ACCOUNT", "WRITE"))
    report.equal("ACCOUNT write may update", writer.secrets.update("GUARDED", value=CANARY).name, "GUARDED")
    report.equal("ACCOUNT write may read and delete", writer.secrets.delete("GUARDED").name, "GUARDED")

    wrong = runloop.AuthenticationError
    for what, bad_key in (("a wrong key", "ak_wrong"), ("a key cut short", client.bearer_token[:-1]),
                          ("a key's id in place of the key", key.id or "")):
        refused(report, what, wrong, backend.client(bad_key).secrets.list)
    refused(report, "a wrong key learns nothing of routes", wrong,
            lambda: backend.client("ak_wrong").get("/v1/nowhere", cast_to=object))

    soon = int(time.time() * 1000) + 2500
    brief = client.apikeys.create(name="brief", expires_at_ms=soon)
    report.equal("an expiry is echoed", brief.expires_at_ms, soon)
    brief_client = backend.client(brief.key_secret)
    report.check("a key works until its expiry", brief_client.accounts.me().id)
    time.sleep(max(0.0, soon / 1000 - time.time()) + 0.5)
    refused(report, "an expired key", wrong, brief_client.accounts.me)


def check_idempotency(report: Report, client: runloop.Runloop) -> None:
    first = client.apikeys.create(name="once", idempotency_key="referee-1")
    report.equal("a repeated key creation answers the first key",
                 client.apikeys.create(name="once", idempotency_key="referee-1"), first)
    report.check("another body under the same id is another key",
                 client.apikeys.create(name="twice", idempotency_key="referee-1").id != first.id)
    report.check("another id is another key",
                 client.apikeys.create(name="once", idempotency_key="referee-2").id != first.id)
    restricted = client.restricted_keys.create(name="once", scopes=[], idempotency_key="referee-1")
    report.check("the same id on another route is another key", restricted.id != first.id, restricted.id)
    secret = client.secrets.create(name="ONCE", value=CANARY, idempotency_key="referee-3")
    report.equal("a repeated secret creation answers the first",
                 client.secrets.create(name="ONCE", value=CANARY, idempotency_key="referee-3"), secret)
    client.secrets.delete("ONCE")


def check_unserved(report: Report, client: runloop.Runloop) -> None:
    refused(report, "a family that is not served", runloop.NotFoundError, client.devboxes.list)
    refused(report, "a route that does not exist", runloop.NotFoundError,
            lambda: client.get("/v1/nowhere", cast_to=object))


async def check_async(report: Report, backend: Backend, key: str) -> None:
    client = backend.async_client(key)
    report.check("accounts.me", (await client.accounts.me()).id)
    names = [f"ASYNC_{number}" for number in range(20)]
    created = await asyncio.gather(*(client.secrets.create(name=name, value=CANARY) for name in names))
    report.equal("20 creates at once: each answers its own name", [view.name for view in created], names)
    report.equal("20 creates at once: 20 ids", len({view.id for view in created}), 20)
    listed = await client.secrets.list(limit=5)
    report.equal("list", (len(listed.secrets), listed.total_count, listed.has_more), (5, 20, True))
    report.equal("retrieve", (await client.secrets.retrieve(names[3])).id, created[3].id)
    report.equal("update", (await client.secrets.update(names[3], value=CANARY)).id, created[3].id)

    same = await asyncio.gather(
        *(client.secrets.create(name="ONE_NAME", value=CANARY) for _ in range(20)), return_exceptions=True
    )
    winners = [answer for answer in same if not isinstance(answer, Exception)]
    losers = {type(answer).__name__ for answer in same if isinstance(answer, Exception)}
    report.equal("20 creates of one name at once: one wins, the others are refused",
                 (len(winners), losers), (1, {"BadRequestError"}))
    gone = await asyncio.gather(*(client.secrets.delete(name) for name in [*names, "ONE_NAME"]))
    report.equal("21 deletes at once", len(gone), 21)
    report.equal("nothing is left", (await client.secrets.list()).total_count, 0)
    with contextlib.suppress(runloop.NotFoundError):
        await client.secrets.retrieve("ONE_NAME")
        report.check("a deleted secret is not found", False)
    await client.close()


def check_restart(report: Report, home: Path, data: Path) -> None:
    """Another process on the same data knows the same secrets and keys."""
    with Server(backend_command(data), home) as server:
        backend = Backend(server.url())
        root = (data / "root.key").read_text().strip()
        client = backend.client(root)
        made = client.secrets.create(name="DURABLE", value=CANARY)
        key = client.apikeys.create(name="durable").key_secret
    with Server(backend_command(data), home) as server:
        client = Backend(server.url()).client(key)
        report.equal("the root key stays", (data / "root.key").read_text().strip() == root, True)
        report.equal("a secret survives a restart, and so does the key that reads it",
                     client.secrets.retrieve("DURABLE"), made)


def main() -> int:
    report = Report(f"runloop-sdk {version('runloop-api-client')}")
    with scratch("runloop-sdk") as home:
        data = home / "data"
        with Server(backend_command(data), home, KEYGLASS_LOG="trace") as server:
            backend = Backend(server.url())
            root_file = data / "root.key"
            root = root_file.read_text().strip()
            report.equal("only its owner may read root.key", oct(root_file.stat().st_mode & 0o777), "0o600")
            with report.section("sdk"):
                client = backend.client(root)
                with report.section("secrets"):
                    check_secrets(report, client)
                with report.section("keys"):
                    check_keys(report, backend, client)
                with report.section("idempotency"):
                    check_idempotency(report, client)
                with report.section("unserved"):
                    check_unserved(report, client)
                with report.section("async"):
                    asyncio.run(asyncio.wait_for(check_async(report, backend, root), 120))

                sent = [request for wire in backend.wires for request in wire.requests]
                retried = [request for request in sent if not request.endswith("retry 0")]
                report.check("requests were counted", len(sent) > 100, len(sent))
                report.equal("no call needed a second request", retried, [])
                answers = "\n".join(answer for wire in backend.wires for answer in wire.answers)
                report.check("no answer holds a secret's value", CANARY_TRACE not in answers)
        report.equal("leaves with exit code 0 when it is asked to end", server.stop(), 0)
        said = server.stderr
        report.check("the log, every level of it, holds no secret's value", CANARY_TRACE not in said,
                     [line for line in said.splitlines() if CANARY_TRACE in line][:5])
        report.equal("the log, every level of it, holds no key", [key for key in backend.keys if key in said], [])
        check_sealed(report, data, CANARY_TRACE)
        with report.section("restart"):
            check_restart(report, home, data)
    return report.done()


if __name__ == "__main__":
    sys.exit(main())
