// Referee: Runloop's TypeScript SDK, the newest and an older one, against the embedded backend, over HTTP/2 with prior
// knowledge, as it connects by default, and over HTTP/1.1. Address and key come from the SDK's own variables, RUNLOOP_BASE_URL and RUNLOOP_API_KEY.
// Repeats are switched off: an answer the SDK would repeat a call for is a failure.

import { isDeepStrictEqual } from "node:util";
import http2 from "node:http2";
import { Runloop } from "@runloop/api-client";
import { Runloop as OlderRunloop } from "@runloop/api-client-1.28";

const CANARY = "canary-51ab08 line\n\"quoted\" ünïcode";
const MEMBERS = ["create_time_ms", "id", "name", "update_time_ms"];

let passed = 0;
let failed = 0;
let context = "";

function check(what, holds, got) {
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `ok   ${context}${what}` : `FAIL ${context}${what}; got ${JSON.stringify(got)}`);
}

function equal(what, got, expected) {
  const same = isDeepStrictEqual(got, expected);
  check(same ? what : `${what}; expected ${JSON.stringify(expected)}`, same, got);
}

async function refused(what, status, text, call) {
  try {
    check(`${what}: refused`, false, await call());
  } catch (error) {
    equal(`${what}: the status`, error.status ?? String(error), status);
    check(`${what}: the message`, String(error.message).toLowerCase().includes(text), String(error.message));
    check(`${what}: the value is not repeated`, !String(error.message).includes("canary"), String(error.message));
  }
}

async function checkSecrets(client) {
  const created = await client.secrets.create({ name: "TS_PASS", value: CANARY });
  equal("create answers exactly the published members", Object.keys(created).sort(), MEMBERS);
  equal("retrieve answers the same", await client.secrets.retrieve("TS_PASS"), created);
  const updated = await client.secrets.update("TS_PASS", { value: CANARY + "2" });
  equal("update keeps the id", updated.id, created.id);
  await client.secrets.create({ name: "ts-hyphenated", value: CANARY });
  const page = await client.secrets.list();
  equal("list: newest first", page.secrets.map((view) => view.name), ["ts-hyphenated", "TS_PASS"]);
  equal("list: counts", [page.total_count, page.has_more], [2, false]);
  equal("list with limit 1 has more", (await client.secrets.list({ limit: 1 })).has_more, true);

  await refused("a name that is taken", 400, "already exists", () =>
    client.secrets.create({ name: "TS_PASS", value: CANARY }),
  );
  await refused("an illegal name", 400, "name", () => client.secrets.create({ name: "1 ST", value: CANARY }));
  await refused("a secret that does not exist", 404, "", () => client.secrets.retrieve("ABSENT"));

  equal("delete answers what it deleted", await client.secrets.delete("TS_PASS"), updated);
  equal("delete with an empty body", (await client.secrets.delete("ts-hyphenated", {})).name, "ts-hyphenated");
  await refused("a deleted secret", 404, "", () => client.secrets.retrieve("TS_PASS"));

  const names = Array.from({ length: 20 }, (_, number) => `TS_${number}`);
  const made = await Promise.all(names.map((name) => client.secrets.create({ name, value: CANARY })));
  equal("20 creates at once", made.map((view) => view.name), names);
  await Promise.all(names.map((name) => client.secrets.delete(name)));
  equal("20 deletes at once leave nothing", (await client.secrets.list()).total_count, 0);
}

async function checkKeys(client, connect) {
  check("accounts.me answers the account", (await client.accounts.me()).id, null);
  const key = await client.apikeys.create({ name: "ts" });
  check("an API key works", (await connect(key.key_secret).accounts.me()).id, key.id);
  const scopes = [{ resource_type: "RESOURCE_TYPE_ACCOUNT", access_level: "ACCESS_LEVEL_READ" }];
  const reader = await client.restrictedKeys.create({ name: "ts reader", scopes });
  equal("a restricted key echoes its scopes", reader.scopes, scopes);
  equal("a restricted key may list", (await connect(reader.key_secret).secrets.list()).total_count, 0);
  await refused("a restricted key may not create", 403, "", () =>
    connect(reader.key_secret).secrets.create({ name: "X", value: CANARY }),
  );
  await refused("a wrong key", 401, "", () => connect("ak_wrong").secrets.list());
}

// Which HTTP version a client speaks: HTTP/2 sessions are opened through node's module, so they can be counted there.
let sessions = 0;
const connectHttp2 = http2.connect;
http2.connect = (...parameters) => {
  sessions += 1;
  return connectHttp2(...parameters);
};

const protocols = [["HTTP/1.1", { http2: false }], ["HTTP/2", {}]];
const versions = [["newest", Runloop], ["1.28", OlderRunloop]];
for (const [version, Client, name, options] of versions.flatMap((version) =>
  protocols.map((protocol) => [...version, ...protocol]),
)) {
  context = `${version}, ${name}: `;
  sessions = 0;
  try {
    const connect = (bearerToken) => new Client({ bearerToken, maxRetries: 0, timeout: 20_000, ...options });
    const client = connect(process.env.RUNLOOP_API_KEY);
    await checkSecrets(client);
    await checkKeys(client, connect);
    check(`the SDK speaks ${name}`, name === "HTTP/2" ? sessions > 0 : sessions === 0, sessions);
  } catch (error) {
    check("runs to its end", false, String(error?.stack ?? error));
  }
}

console.log(`runloop-sdk TypeScript: ${passed} checks ok, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
