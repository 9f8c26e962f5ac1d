// Clicks one tool call through Inspector's page in a headless browser and prints what the page showed, as JSON.
//
//   node inspector_web.mjs BROWSER PAGE CALL
//
// CALL is JSON: the `tool`, its arguments (`fields`), what to answer the server when it asks (`answer`, if it does), and a
// text that the result `shows`. Every wait is bounded; a wait that runs out is the exit code 1.

import { chromium } from "playwright-core";

const [executablePath, page_url, call] = process.argv.slice(2);
const { tool, fields, answer, shows } = JSON.parse(call);
const timeout = 60_000;

async function fill(within, values) {
  for (const [name, value] of Object.entries(values)) {
    await within.getByRole("textbox", { name: new RegExp(`^${name}`) }).fill(value);
  }
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"], timeout });
const shown = { errors: [] };
let failed = false;
const page = await browser.newPage();
try {
  page.setDefaultTimeout(timeout);
  page.on("pageerror", (error) => shown.errors.push(String(error)));
  await page.goto(page_url);
  const status = page.getByTestId("connection-status");
  await page.locator('[data-testid="connection-status"][data-status="connected"]').waitFor();
  shown.status = await status.getAttribute("data-status");
  await page.getByText("Tools", { exact: true }).first().click();
  await page.getByText(tool, { exact: true }).first().click();
  await fill(page, fields);
  await page.getByRole("button", { name: "Execute Tool" }).click();
  if (answer) {
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    shown.question = await dialog.innerText();
    await fill(dialog, answer);
    await dialog.getByRole("button", { name: "Submit" }).click();
  }
  await page.getByText(shows).first().waitFor();
  shown.text = await page.locator("body").innerText();
} catch (error) {
  failed = true;
  shown.errors.push(String(error));
  shown.text = await page.locator("body").innerText().catch(() => "");
} finally {
  await browser.close();
}
console.log(JSON.stringify(shown));
process.exitCode = failed ? 1 : 0;
