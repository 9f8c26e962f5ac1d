// Referee: the console in a headless Chromium, as a person uses it and as other pages attack it.
//
//   node console.mjs BROWSER
//
// The environment names a console for each of several folders and the link to it, and a program that asks: see console.py.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const [executablePath] = process.argv.slice(2);
const { CONSOLE_LINK: link, ASKER: asker } = process.env;
const base = new URL(link).origin;
const TIMEOUT = 30_000;
const VALUE = "canary-browser-7d13";
const SCRIPT = `<img src="x" onerror="window.pwned = 1"><script>window.pwned = 1</script>`;
const SECTIONS = ["waiting", "secrets", "tools", "live", "trail", "charts"];

let passed = 0;
let failed = 0;
function check(what, holds, got) {
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `ok   ${what}` : `FAIL ${what}; got ${JSON.stringify(got)}`);
}
function equal(what, got, expected) {
  const same = isDeepStrictEqual(got, expected);
  check(same ? what : `${what}; expected ${JSON.stringify(expected)}`, same, got);
}
async function section(title, work) {
  console.log(`   ${title}`);
  try {
    await work();
  } catch (error) {
    check(`${title}: runs to its end`, false, String(error.stack || error));
  }
}

// ---- who asks

const child = spawn(asker, ["console::asker", "--exact", "--ignored", "--nocapture"], { stdio: ["pipe", "pipe", "inherit"] });
const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
async function tell(order) {
  child.stdin.write(`${JSON.stringify(order)}\n`);
  for (;;) {
    const { value, done } = await answers.next();
    if (done) throw new Error("who asks has ended");
    if (value.startsWith("asker: ")) return JSON.parse(value.slice(7));
  }
}
let calls = 0;
async function ask(more = {}) {
  const call = ++calls;
  const shown = {
    tool: "delete_secret", title: `Delete a secret (${call})`, risk: "destructive", reason: "its name says delete", principal: "local",
    client: "referee", request: `POST http://127.0.0.1:8080/v1/secrets/A${call}/delete`, confirms: true, ...more,
  };
  const { code } = await tell({ do: "ask", call, shown });
  return { call, code, title: shown.title };
}
const take = (call) => tell({ do: "take", call });

// ---- pages

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"], timeout: TIMEOUT });
const context = await browser.newContext({ viewport: { width: 1100, height: 900 } });
context.setDefaultTimeout(TIMEOUT);
const errors = [];
const page = await context.newPage();
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });

const card = (code, on = page) => on.locator(`article[data-code="${code}"]`);
const go = async (name, on = page) => {
  await on.locator(`nav a[data-section="${name}"]`).click();
  await on.locator(`#s-${name}`).waitFor();
};
const ready = (button) => button.and(page.locator('[aria-disabled="false"]')).waitFor();
async function accessible(what, on = page) {
  const violations = await on.evaluate(`${AXE}; axe.run(document, { resultTypes: ["violations"] })
    .then((found) => found.violations.map((one) => one.id + ": " + one.nodes.map((node) => node.html).join(" | ")))`);
  equal(`${what}: nothing that axe objects to`, violations, []);
}
const outcome = async (call) => {
  for (let round = 0; round < 100; round += 1) {
    const answer = await take(call);
    if (answer.state !== "waiting") return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { state: "waiting" };
};

try {
  await section("the link", async () => {
    await page.goto(link);
    await page.getByRole("heading", { name: "Waiting for you" }).waitFor();
    equal("the token leaves the address", new URL(page.url()).hash, "");
    equal("there are no cookies", await context.cookies(), []);
    equal("the heading has the focus", await page.evaluate(() => document.activeElement.id), "h-waiting");
    const other = await context.newPage();
    await other.goto(link);
    await other.getByRole("heading", { name: "Locked" }).waitFor();
    check("a link that was followed opens nothing", (await other.locator("#locked-why").innerText()).includes("good once"), await other.locator("#locked-why").innerText());
    await accessible("locked", other);
    await other.close();
  });

  await section("a value for a call", async () => {
    const { call, code, title } = await ask({
      title: `Store a secret ${SCRIPT}`, risk: "write", confirms: false, notes: [`note ${SCRIPT}`, "turned \u202eright\u202c, hidden\u200b"], subject: { tool: "get_secret", value: { name: SCRIPT } },
      entries: [{ pointer: "/value", label: "the value of DB_PASS" }],
    });
    const one = card(code);
    await one.waitFor();
    const text = await one.innerText();
    check("the page shows what the call is", [title, "get_secret", "note", "POST http://127.0.0.1:8080", "referee", "write"].every((part) => text.includes(part)), text);
    check("what cannot be seen is written out", text.includes("turned \\u{202e}right\\u{202c}, hidden\\u{200b}"), text);
    equal("the heading of what is new has the focus", await page.evaluate(() => document.activeElement.textContent), title);
    check("it is told to readers of the screen", (await page.locator("#said").textContent()).includes("A call waits for you"));
    equal("the title counts", await page.title(), "(1) keyglass console");
    await accessible("a value is asked for");
    const input = one.getByLabel("the value of DB_PASS", { exact: true });
    equal("the value is hidden", await input.getAttribute("type"), "password");
    await one.getByRole("button", { name: "Show or hide" }).click();
    equal("and shown on demand", await input.getAttribute("type"), "text");
    await one.getByRole("button", { name: "Hand over" }).and(page.locator('[aria-disabled="false"]')).click();
    await one.getByRole("alert").getByText("is missing").waitFor();
    await input.fill(VALUE);
    await page.waitForTimeout(1500); // two looks for news later
    equal("what was entered stays while the page looks for news", await input.inputValue(), VALUE);
    await one.getByRole("button", { name: "Hand over" }).click();
    await one.waitFor({ state: "detached" });
    equal("the call gets the value", await outcome(call), { state: "confirmed", by: "console", entered: { "/value": VALUE } });
    check("the value is nowhere in the page", !(await page.content()).includes(VALUE));
  });

  await section("confirm and refuse", async () => {
    const first = await ask();
    const one = card(first.code);
    await one.waitFor();
    const confirm = one.getByRole("button", { name: "Confirm" });
    // Whoever clicks at something else at the moment when it appears does not mean this.
    await confirm.dblclick({ force: true, noWaitAfter: true });
    equal("a click at a button that has just come does nothing", (await take(first.call)).state, "waiting");
    equal("no confirming button is the first one", await one.getByRole("button").first().innerText(), "Refuse");
    await ready(confirm);
    await confirm.click();
    await one.waitFor({ state: "detached" });
    equal("confirmed", (await outcome(first.call)).state, "confirmed");
    const second = await ask();
    await card(second.code).getByRole("button", { name: "Refuse" }).click();
    await card(second.code).waitFor({ state: "detached" });
    equal("refused", await outcome(second.call), { state: "refused", by: "console" });
    const third = await ask({ words: "unlimited", risk: "grant" });
    const words = card(third.code);
    const confirms = words.getByRole("button", { name: "Confirm" });
    await ready(confirms);
    await words.getByLabel("To confirm, write").fill("Unlimited!");
    await confirms.click();
    await words.getByRole("alert").getByText("write `unlimited`").waitFor();
    equal("other words confirm nothing", (await take(third.call)).state, "waiting");
    await words.getByLabel("To confirm, write").fill("unlimited");
    await confirms.click();
    await words.waitFor({ state: "detached" });
    equal("the words confirm", (await outcome(third.call)).state, "confirmed");
    const [above, below] = [await ask(), await ask()];
    await card(below.code).waitFor();
    await ready(card(below.code).getByRole("button", { name: "Confirm" }));
    await card(above.code).getByRole("button", { name: "Refuse" }).dblclick({ noWaitAfter: true });
    await card(above.code).waitFor({ state: "detached" });
    equal("a second click at what moved up does nothing", (await take(below.call)).state, "waiting");
    const behind = await ask();
    await card(behind.code).waitFor();
    await tell({ do: "take", call: behind.call });
    for (const left of [below, behind]) await card(left.code).getByRole("button", { name: "Refuse" }).click();
    await page.getByText("Nothing waits.").waitFor();
  });

  await section("by keyboard alone", async () => {
    const { call, code } = await ask();
    const one = card(code);
    await one.waitFor();
    const confirm = one.getByRole("button", { name: "Confirm" });
    await ready(confirm);
    const seen = [];
    for (let step = 0; step < 40; step += 1) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const node = document.activeElement;
        const style = getComputedStyle(node);
        return { text: node.textContent, in: node.closest("article")?.dataset.code, outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
      });
      seen.push(focused);
      if (focused.in === code && focused.text === "Confirm") break;
    }
    const last = seen.at(-1);
    check("the button is reached by the Tab key", last.text === "Confirm", seen);
    check("all that has the focus shows it", seen.every((one) => one.outline), seen);
    await page.keyboard.press("Enter");
    await one.waitFor({ state: "detached" });
    equal("confirmed by the Enter key", (await outcome(call)).state, "confirmed");
    equal("the focus goes to the heading", await page.evaluate(() => document.activeElement.id), "h-waiting");
  });

  await section("secrets", async () => {
    const { handle } = await tell({ do: "keep", value: VALUE, tool: "create_api_key", place: "/key_secret", about: SCRIPT });
    const kept = await tell({ do: "keep", value: `${VALUE}-2`, tool: "create_api_key", place: "/key_secret", about: "kept" });
    await go("secrets");
    const one = page.locator("#handles li", { hasText: handle });
    await one.waitFor();
    check("a script in its name is text", (await one.innerText()).includes("window.pwned = 1"), await one.innerText());
    await accessible("secrets");
    await one.getByRole("button", { name: "Reveal" }).click();
    check("nothing is shown before it is asked for twice", !(await page.content()).includes(VALUE));
    const show = one.getByRole("button", { name: "Show it once" });
    await ready(show);
    await show.click();
    await one.getByText(VALUE, { exact: true }).waitFor();
    await accessible("a value is shown");
    await one.getByRole("button", { name: "Hide" }).click();
    check("hidden again", !(await page.content()).includes(VALUE));
    await page.getByRole("button", { name: "Look again" }).first().click();
    await page.locator("#handles li", { hasText: handle }).getByText(/revealed \d/).waitFor();
    equal("there is no second time", await page.locator("#handles li", { hasText: handle }).getByRole("button", { name: "Reveal" }).count(), 0);
    const other = page.locator("#handles li", { hasText: kept.handle });
    await other.getByRole("button", { name: "Forget" }).click();
    const forget = other.getByRole("button", { name: "Forget it for good" });
    await ready(forget);
    await forget.click();
    await other.waitFor({ state: "detached" });
    equal("no script ran", await page.evaluate(() => window.pwned), undefined);
  });

  await section("tools", async () => {
    await go("tools");
    await page.getByText("7 of 7 tools").waitFor();
    await accessible("tools");
    await page.getByLabel("Search by name").fill("create secret write");
    await page.getByText("1 of 7 tools").waitFor();
    await page.locator('#tool-list button[data-tool="create_secret"]').click();
    const tool = page.locator("#tool");
    await tool.getByRole("heading", { level: 2 }).waitFor();
    equal("the heading of the tool has the focus", await page.evaluate(() => document.activeElement.tagName), "H2");
    await accessible("a tool");
    await tool.getByLabel("name (required)", { exact: true }).fill("FROM_BROWSER");
    const value = tool.getByLabel("value", { exact: true });
    equal("the field of a secret is hidden", await value.getAttribute("type"), "password");
    await value.fill(VALUE);
    const call = tool.getByRole("button", { name: "Call", exact: true });
    equal("nothing is called before its request was seen", await call.getAttribute("aria-disabled"), "true");
    await tool.getByRole("button", { name: "Show the request" }).click();
    await tool.getByRole("heading", { name: "The request that the call sends" }).waitFor();
    const request = await tool.locator("pre", { hasText: "POST http" }).innerText();
    check("the request is shown without the secret", request.includes("FROM_BROWSER") && !request.includes(VALUE), request);
    await ready(call);
    await tool.getByLabel("name (required)", { exact: true }).fill("FROM_THE_BROWSER");
    equal("other arguments have to be seen first", await call.getAttribute("aria-disabled"), "true");
    await tool.getByRole("button", { name: "Show the request" }).click();
    await ready(call);
    await call.click();
    await tool.getByRole("heading", { name: "The result" }).waitFor();
    await tool.getByText('"name": "FROM_THE_BROWSER"').waitFor();
    await page.getByLabel("Search by name").fill("restricted");
    await page.locator('#tool-list button[data-tool="create_restricted_key"]').click();
    await tool.getByLabel("scopes", { exact: true }).fill('[{"resource_type": "RESOURCE_TYPE_ACCOUNT"');
    await tool.getByRole("button", { name: "Show the request" }).click();
    await tool.getByRole("alert").getByText("scopes must be JSON").waitFor();
    await tool.getByLabel("scopes", { exact: true }).fill('[{"resource_type": "RESOURCE_TYPE_ACCOUNT", "access_level": "ALL"}]');
    await tool.getByRole("button", { name: "Show the request" }).click();
    await tool.getByText("nothing was sent").waitFor();
  });

  await section("live, audit, charts", async () => {
    await go("live");
    const row = page.locator("#ended tbody tr").first();
    await row.waitFor();
    const cells = await row.locator("td").allInnerTexts();
    equal("the call is told of", [cells[0], cells[2], cells[4]], ["create_secret", "console", "ok"]);
    await accessible("live");
    await go("trail");
    await page.locator("#trail-state").getByText(/./).waitFor();
    await accessible("audit");
    await go("charts");
    await page.locator("#latency svg path").first().waitFor({ state: "attached" });
    check("the charts have a text", (await page.getByRole("img").first().getAttribute("aria-label")).includes("calls within the last hour"));
    await page.getByText("The same as a table").click();
    equal("and a table", await page.locator("#minutes tbody tr").count() > 0, true);
    await accessible("charts");
  });

  await section("looks", async () => {
    const { code } = await ask({ words: "a".repeat(80), subject: { tool: "get_secret", value: { name: "b".repeat(300) } }, request: `POST http://127.0.0.1/${"c".repeat(400)}`, entries: [{ pointer: "/v", label: "d".repeat(80) }] });
    const colours = [];
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const name of SECTIONS) {
        await go(name);
        await accessible(`${colorScheme} ${name}`);
      }
      colours.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    }
    check("dark and light differ", colours[0] !== colours[1], colours);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    await page.setViewportSize({ width: 360, height: 740 });
    for (const name of SECTIONS) {
      await go(name);
      if (name === "waiting") await card(code).waitFor();
      const width = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.body.scrollWidth));
      check(`360 px: ${name} needs no scrolling sideways`, width <= 360, width);
    }
    await go("waiting");
    equal("nothing moves where that is not wanted", await card(code).evaluate((node) => getComputedStyle(node).animationName), "none");
    await card(code).getByRole("button", { name: "Refuse" }).click();
    await page.setViewportSize({ width: 1100, height: 900 });
  });

  await section("other pages", async () => {
    const { call, code } = await ask();
    await go("waiting");
    await card(code).waitFor();
    const { waiting } = await page.evaluate(async () => (await fetch("/api/waiting", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${sessionStorage.getItem("keyglass-console")}` },
      body: '{"active":true}',
    })).json());
    const decision = JSON.stringify({ id: waiting[0].id, confirm: true });
    const key = await page.evaluate(() => sessionStorage.getItem("keyglass-console"));
    const evil = http.createServer((_, response) => {
      response.setHeader("content-type", "text/html");
      response.end(`<!doctype html><title>evil</title><iframe name="framed" src="${base}/"></iframe><object data="${base}/"></object>
        <form method="post" enctype="text/plain" action="${base}/api/decide" target="posted"><input name='${decision.slice(0, -1)},"x":"' value='"}'></form>
        <iframe name="posted"></iframe>`);
    });
    await new Promise((resolve) => evil.listen(0, "127.0.0.1", resolve));
    const attacker = await context.newPage();
    const asked = [];
    attacker.on("response", (response) => { if (response.url().startsWith(base)) asked.push([new URL(response.url()).pathname, response.status()]); });
    await attacker.goto(`http://localhost:${evil.address().port}/`);
    await attacker.waitForTimeout(500);
    const framed = attacker.frames().find((frame) => frame.name() === "framed");
    check("the console stands in no frame", !(await framed.content().catch(() => "")).includes("keyglass"), await framed.content().catch(() => ""));
    // Even with the key of the session, which no other page can read.
    const results = await attacker.evaluate(async ({ url, body, key }) => {
      const tries = [
        { mode: "no-cors", headers: { "content-type": "text/plain" } },
        { mode: "no-cors", headers: { "content-type": "application/json" } },
        { mode: "cors", headers: { "content-type": "application/json", authorization: `Bearer ${key}` } },
        { mode: "cors", headers: { "content-type": "text/plain" }, credentials: "include" },
      ];
      const results = [];
      for (const one of tries) results.push(await fetch(url, { method: "POST", body, ...one }).then((answer) => answer.type, () => "refused"));
      navigator.sendBeacon(url, new Blob([body], { type: "text/plain" }));
      document.forms[0].submit();
      return results;
    }, { url: `${base}/api/decide`, body: decision, key });
    check("no answer can be read", results.every((one) => one === "opaque" || one === "refused"), results);
    const script = await attacker.evaluate((url) => new Promise((resolve) => {
      const node = document.createElement("script");
      node.onload = () => resolve("loaded");
      node.onerror = () => resolve("refused");
      node.src = url;
      document.head.append(node);
    }), `${base}/console.js`);
    equal("its script is not lent", script, "refused");
    await attacker.waitForTimeout(500);
    check("what reached the console was refused", asked.length > 0 && asked.every(([, status]) => status >= 400), asked);
    equal("and decided nothing", (await take(call)).state, "waiting");
    await attacker.close();
    evil.close();
    await card(code).getByRole("button", { name: "Refuse" }).click();
    await card(code).waitFor({ state: "detached" });
  });

  await section("the end", async () => {
    const key = await page.evaluate(() => sessionStorage.getItem("keyglass-console"));
    await page.getByRole("button", { name: "Lock" }).click();
    await page.getByRole("heading", { name: "Locked" }).waitFor();
    equal("the tab forgets the key", await page.evaluate(() => sessionStorage.length), 0);
    const status = await page.evaluate(async (key) => (await fetch("/api/handles", { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${key}` }, body: "{}" })).status, key);
    equal("and so does the console", status, 401);
    // The browser itself tells of answers that refuse.
    const own = errors.filter((error) => !error.startsWith("Failed to load resource"));
    equal("the page ran without errors", own, []);
  });
} finally {
  await browser.close();
  child.stdin.end();
}
console.log(`console: ${passed} checks ok, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
