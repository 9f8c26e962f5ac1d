// The page of the console. What comes from outside becomes text, never markup: nodes are made by `make`, and texts are text
// nodes. The key of the session stays in this tab and goes along as a header.
"use strict";
(() => {
  const KEY = "keyglass-console";
  const TOKEN = /^[0-9a-f]{64}$/;
  // How long a confirming button rests after anything has moved: longer than a double click.
  const SETTLE_MS = 1000;
  const REVEALED_S = 60;
  const SVG = "http://www.w3.org/2000/svg";

  const byId = (id) => document.getElementById(id);
  let ids = 0;
  const newId = (kind) => `${kind}-${++ids}`;

  function make(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) {
      if (value === true) node.setAttribute(attribute, "");
      else if (value !== false && value !== undefined && value !== null) node.setAttribute(attribute, String(value));
    }
    node.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (typeof child === "string" ? plain(child) : child)));
    return node;
  }
  // What cannot be seen, or turns the direction of writing, could make a text look like another one: it is written out. The
  // same characters as `is_unseen` in `prose/invisible.rs`, which a test compares.
  const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
  const plain = (text) => text.replace(/\r\n/g, "\n").replace(UNSEEN, (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`);
  // A text whose end has to be looked for says so.
  const LONG = 1500;
  const whole = (text) => [
    ...(text.length > LONG || text.split("\n").length > 20 ? [make("p", { class: "hint" }, `${text.length} characters: look through all of it.`)] : []),
    make("pre", { tabindex: "0" }, text),
  ];
  const button = (text, kind, act) => {
    const node = make("button", { type: "button", class: kind }, text);
    node.addEventListener("click", act);
    return node;
  };
  const say = (text) => { byId("said").textContent = text; };
  const time = (ms) => (ms ? new Date(ms).toLocaleString() : "");
  const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const terms = (pairs) => {
    const list = make("dl");
    for (const [term, what] of pairs) {
      if (what !== null && what !== undefined && what !== "") list.append(make("dt", {}, term), make("dd", {}, what));
    }
    return list;
  };
  const RISKS = ["read", "write", "destructive", "exec", "grant"];
  const badge = (risk) => make("span", { class: `risk risk-${RISKS.includes(risk) ? risk : "exec"}` }, risk || "unknown");
  const isRisky = (risk) => risk !== "read" && risk !== "write";
  function span(ms) {
    const seconds = Math.max(0, Math.round(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} days`;
  }

  // ---- the session

  let key = sessionStorage.getItem(KEY);
  let active = true;
  let section = null;
  for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
    addEventListener(kind, () => { active = true; }, { capture: true, passive: true });
  }

  class Problem extends Error {
    constructor(status, message) {
      super(message);
      this.status = status;
    }
  }

  async function ask(name, body = {}) {
    const used = key;
    const response = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(used ? { authorization: `Bearer ${used}` } : {}) },
      body: JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const problem = new Problem(response.status, answer.error || `the console answered ${response.status}`);
    if (response.status === 401 && name !== "session" && used === key) lock(problem.message);
    throw problem;
  }
  const news = (name) => {
    const body = { active };
    active = false;
    return ask(name, body);
  };
  const told = (error) => (error instanceof Problem ? error.message : "keyglass does not answer; is it running?");

  async function unlock(text) {
    const token = text.trim().split("#").pop();
    const problem = byId("unlock-problem");
    problem.textContent = "";
    if (!TOKEN.test(token)) {
      problem.textContent = "This is no link to the console: it ends with # and 64 characters.";
      return;
    }
    try {
      key = null;
      key = (await ask("session", { token })).key;
      sessionStorage.setItem(KEY, key);
      byId("link").value = "";
      opened();
    } catch (error) {
      lock(told(error));
    }
  }

  function lock(why) {
    key = null;
    sessionStorage.removeItem(KEY);
    clearAll();
    byId("nav").hidden = true;
    byId("leave").hidden = true;
    byId("count").hidden = true;
    document.title = "keyglass console";
    if (why) byId("locked-why").textContent = why;
    for (const other of document.querySelectorAll("main > section")) other.hidden = other.id !== "s-locked";
    section = null;
    byId("h-locked").focus();
  }

  function opened() {
    byId("nav").hidden = false;
    byId("leave").hidden = false;
    byId("s-locked").hidden = true;
    const wanted = location.hash.slice(1);
    show(Object.hasOwn(SECTIONS, wanted) ? wanted : "waiting", true);
    tick();
  }

  // What a person entered or looked at stays nowhere.
  function clearAll() {
    for (const hide of [...revealed]) hide();
    for (const card of cards.values()) card.node.remove();
    cards.clear();
    for (const id of ["handles", "tool-list", "tool", "lines", "under-way", "ended", "minutes"]) byId(id).replaceChildren();
    byId("tool").hidden = true;
    tools = [];
    lines = [];
    drawn.clear();
  }

  // ---- sections

  function show(name, focus) {
    if (!key) return;
    section = name;
    for (const other of document.querySelectorAll("main > section")) other.hidden = other.id !== `s-${name}`;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.dataset.section === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (focus) byId(`h-${name}`).focus();
    settle();
    SECTIONS[name]();
  }
  addEventListener("hashchange", () => {
    const text = location.hash.slice(1);
    if (TOKEN.test(text)) {
      history.replaceState(null, "", location.pathname);
      unlock(text);
    } else if (Object.hasOwn(SECTIONS, text)) show(text, true);
    else if (named()) {
      show("waiting", false);
      named().heading.focus();
    }
  });

  // ---- waiting

  const cards = new Map();
  // An answer that was on its way when the person decided still names the call.
  const decided = new Set();
  let resting = null;
  // While anything moves no button confirms: what is under the pointer may have been another one a moment ago.
  function settle() {
    const all = () => document.querySelectorAll("button[data-rests]");
    for (const one of all()) one.setAttribute("aria-disabled", "true");
    clearTimeout(resting);
    resting = setTimeout(() => {
      for (const one of all()) one.setAttribute("aria-disabled", one.dataset.rests === "on" ? "false" : "true");
    }, SETTLE_MS);
  }
  function confirming(text, kind, act) {
    const node = button(text, kind, (event) => {
      if (node.getAttribute("aria-disabled") !== "false" || event.detail > 1) return;
      act();
    });
    node.dataset.rests = "on";
    node.setAttribute("aria-disabled", "true");
    return node;
  }

  function secretField(label, hint) {
    const id = newId("secret");
    const input = make("input", { id, type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": hint ? `${id}-hint` : null });
    const toggle = button("Show", "", () => {
      const shows = input.type === "password";
      input.type = shows ? "text" : "password";
      toggle.textContent = shows ? "Hide" : "Show";
    });
    toggle.setAttribute("aria-label", `Show or hide ${label}`);
    const node = make("div", {}, make("label", { for: id }, label),
      hint ? make("p", { class: "hint", id: `${id}-hint` }, hint) : null, make("div", { class: "row" }, input, toggle));
    return { node, input };
  }

  function questionCard(question) {
    const { shown } = question;
    const id = newId("question");
    const heading = make("h2", { id, tabindex: "-1" }, shown.title || shown.tool);
    const left = make("span");
    const problem = make("p", { class: "problem", role: "alert" });
    const node = make("article", { class: `card new${isRisky(shown.risk) ? " risky" : ""}`, "aria-labelledby": id, "data-code": shown.code },
      heading,
      terms([
        ["Tool", make("code", {}, shown.tool)],
        ["Risk", make("span", {}, badge(shown.risk), shown.reason ? ` ${shown.reason}` : "")],
        ["Asked by", shown.principal],
        ["Program", shown.client],
        ["Code", make("code", {}, shown.code)],
        ["Time left", left],
      ]));
    if (shown.notes.length) {
      node.append(make("ul", { class: "notes" }, ...shown.notes.map((note) => make("li", {}, note))));
    }
    if (shown.subject) {
      node.append(make("h3", {}, "What it is about, as ", make("code", {}, shown.subject.tool), " reads it now"),
        ...whole(pretty(shown.subject.value)));
    }
    if (shown.request) node.append(make("h3", {}, "The exact request"), ...whole(shown.request));
    const entries = shown.entries.map((entry) => ({ pointer: entry.pointer, ...secretField(entry.label, "A secret value. No model sees it.") }));
    node.append(...entries.map((entry) => entry.node));
    let words = null;
    if (shown.words) {
      const field = newId("words");
      words = make("input", { id: field, autocomplete: "off", spellcheck: "false" });
      node.append(make("label", { for: field }, "To confirm, write ", make("code", {}, shown.words)), words);
    }
    let busy = false;
    const decide = async (confirm) => {
      if (busy) return;
      busy = true;
      problem.textContent = "";
      try {
        const entered = Object.fromEntries(entries.map((entry) => [entry.pointer, entry.input.value]));
        await ask("decide", confirm
          ? { id: question.id, confirm, words: words ? words.value : null, entered }
          : { id: question.id, confirm });
        decided.add(question.id);
        gone(question.id, confirm ? `Confirmed: ${shown.title || shown.tool}` : `Refused: ${shown.title || shown.tool}`);
      } catch (error) {
        problem.textContent = told(error);
      } finally {
        busy = false;
      }
    };
    const yes = shown.confirms ? "Confirm" : "Hand over";
    node.append(problem, make("div", { class: "row" },
      button("Refuse", "", () => decide(false)),
      confirming(yes, isRisky(shown.risk) ? "danger" : "main", () => decide(true))));
    return { node, heading, left, entries, expires: question.expires_at_ms };
  }

  function gone(id, text) {
    const card = cards.get(id);
    if (!card) return;
    for (const entry of card.entries) entry.input.value = "";
    const had = card.node.contains(document.activeElement);
    card.node.remove();
    cards.delete(id);
    settle();
    counted();
    if (text) say(text);
    if (had || text) (cards.size ? cards.values().next().value.heading : byId("h-waiting")).focus();
  }

  // The question that the address names: a client opens the page for one of them.
  function named() {
    const found = /^#\/waiting\/([0-9A-Za-z]{22})$/.exec(location.hash);
    return found ? cards.get(found[1]) : undefined;
  }

  function counted() {
    const count = cards.size;
    byId("nothing-waits").hidden = count > 0;
    byId("count").hidden = count === 0;
    byId("count").textContent = String(count);
    byId("count").setAttribute("aria-label", `${count} waiting`);
    document.title = count ? `(${count}) keyglass console` : "keyglass console";
  }

  async function lookWaiting() {
    const { waiting, now_ms } = await news("waiting");
    if (!key) return;
    const known = new Set(waiting.map((question) => question.id));
    for (const id of [...cards.keys()]) if (!known.has(id)) gone(id);
    const before = named();
    let first = null;
    for (const question of waiting) {
      let card = cards.get(question.id);
      if (!card && decided.has(question.id)) continue;
      if (!card) {
        card = questionCard(question);
        cards.set(question.id, card);
        byId("questions").append(card.node);
        settle();
        say(`A call waits for you: ${question.shown.title || question.shown.tool}, ${question.shown.risk}.`);
        first = first || card;
      }
      card.left.textContent = span(card.expires - now_ms);
    }
    counted();
    // Whoever is at something else goes on with it.
    const idle = [document.body, byId("h-waiting"), byId("main")].includes(document.activeElement);
    if (first && section === "waiting" && idle) (before ? first : named() || first).heading.focus();
  }

  // ---- secrets

  const revealed = new Set();
  // Asks once more, then shows the value until it is hidden or a minute has passed.
  function revealer(handle, taken) {
    const place = make("div");
    const begin = button("Reveal", "", () => {
      const warning = make("p", { class: "problem", tabindex: "-1" }, "Its value is shown this once. See that nobody looks over your shoulder and nothing records the screen.");
      const again = () => { place.replaceChildren(begin); begin.focus(); };
      place.replaceChildren(warning, make("div", { class: "row" }, button("Cancel", "", again), confirming("Show it once", "danger", reveal)));
      settle();
      warning.focus();
    });
    async function reveal() {
      try {
        const { value } = await ask("reveal", { name: handle });
        const heading = make("h3", { tabindex: "-1" }, "The value, shown this once");
        const text = make("pre");
        text.textContent = value; // to the letter: it is copied from here
        const left = make("p", { class: "hint" });
        const copied = make("span", { role: "status" });
        let seconds = REVEALED_S;
        const count = () => {
          left.textContent = `It is hidden in ${seconds} s.`;
          if (seconds-- <= 0) hide();
        };
        const timer = setInterval(count, 1000);
        const hide = () => {
          clearInterval(timer);
          revealed.delete(hide);
          text.textContent = "";
          const had = place.contains(document.activeElement);
          const over = make("p", { class: "dim", tabindex: "-1" }, "Its value was revealed.");
          place.replaceChildren(over);
          if (had) over.focus();
        };
        revealed.add(hide);
        const copy = button("Copy", "main", async () => {
          try {
            await navigator.clipboard.writeText(text.textContent);
            copied.textContent = "Copied.";
          } catch {
            copied.textContent = "The browser does not let it be copied; select it instead.";
          }
        });
        place.replaceChildren(make("div", { class: "value" }, heading, text, make("div", { class: "row" }, copy, button("Hide", "", hide), copied), left));
        count();
        heading.focus();
        if (taken) taken();
      } catch (error) {
        place.replaceChildren(make("p", { class: "problem", role: "alert" }, told(error)));
      }
    }
    place.append(begin);
    return place;
  }

  async function lookHandles() {
    let answer;
    try {
      answer = await ask("handles");
    } catch (error) {
      if (key) say(told(error));
      return;
    }
    for (const hide of [...revealed]) hide();
    const { handles, now_ms } = answer;
    byId("no-secrets").hidden = handles.length > 0;
    byId("handles").replaceChildren(...handles.map((handle) => {
      const { origin } = handle;
      const state = make("dd", {}, handle.revealed_at_ms ? `revealed ${time(handle.revealed_at_ms)}` : "not revealed yet");
      const list = terms([
        ["Handle", make("code", {}, handle.id)],
        ["From", make("span", {}, make("code", {}, origin.tool), " ", make("code", {}, origin.place))],
        ["About", origin.about],
        ["Age", span(now_ms - handle.create_time_ms)],
        ["Ends in", span(handle.expires_at_ms - now_ms)],
      ]);
      list.append(make("dt", {}, "State"), state);
      const name = newId("handle");
      const node = make("li", { class: "card", "aria-labelledby": name }, make("h2", { id: name }, origin.about || origin.place || "A secret"), list);
      if (!handle.revealed_at_ms) node.append(revealer(handle.id, () => { state.textContent = "revealed just now"; }));
      node.append(forgetter(handle.id, node));
      return node;
    }));
  }

  function forgetter(handle, card) {
    const place = make("div", { class: "row" });
    const problem = make("span", { class: "problem", role: "alert" });
    const begin = button("Forget", "", () => {
      const back = () => { place.replaceChildren(begin); begin.focus(); };
      const keep = button("Keep it", "", back);
      place.replaceChildren(keep, confirming("Forget it for good", "danger", async () => {
        try {
          await ask("forget", { name: handle });
          card.remove();
          byId("no-secrets").hidden = byId("handles").children.length > 0;
          say("The handle is forgotten.");
          byId("h-secrets").focus();
        } catch (error) {
          problem.textContent = told(error);
        }
      }), problem);
      settle();
      keep.focus();
    });
    place.append(begin);
    return place;
  }

  // ---- tools

  let tools = [];
  async function lookTools() {
    try {
      tools = (await ask("tools")).tools;
      listTools();
    } catch (error) {
      if (key) byId("tool-count").textContent = told(error);
    }
  }

  function listTools() {
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = tools.filter((tool) => {
      const text = `${tool.name} ${tool.title} ${tool.group} ${tool.risk}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    byId("tool-count").textContent = `${found.length} of ${tools.length} tools`;
    byId("tool-list").replaceChildren(...found.map((tool) => {
      const open = button("", "", () => openTool(tool.name));
      open.dataset.tool = tool.name;
      open.append(make("strong", {}, tool.title), " ", badge(tool.risk), make("br"), make("span", { class: "dim" }, `${tool.name} · ${tool.group}`));
      return make("li", {}, open);
    }));
  }

  const kindsOf = (schema) => [schema.type].flat().filter((kind) => kind && kind !== "null");

  // A field for one argument: its node, and what `read` gives. Nothing is given where nothing is entered.
  function field(name, schema, required, isSecret) {
    const id = newId("field");
    const label = `${name}${required ? " (required)" : ""}`;
    const kind = kindsOf(schema).length === 1 ? kindsOf(schema)[0] : null;
    const hints = [schema.description, schema.default !== undefined ? `Default: ${JSON.stringify(schema.default)}` : ""];
    const around = (input, hint, read) => {
      const text = [...hints, hint].filter(Boolean).join(" ");
      input.id = id;
      if (text) input.setAttribute("aria-describedby", `${id}-hint`);
      if (required) input.setAttribute("aria-required", "true");
      const node = make("div", {}, make("label", { for: id }, label), text ? make("p", { class: "hint", id: `${id}-hint` }, text) : null, input);
      return { name, node, read: () => read(input.value) };
    };
    const choice = (values) => {
      const select = make("select", {}, make("option", { value: "" }, "not given"),
        ...values.map((value, place) => make("option", { value: String(place) }, pretty(value))));
      return around(select, "", (text) => (text === "" ? undefined : values[Number(text)]));
    };
    if (isSecret) {
      const secret = secretField(label, hints.filter(Boolean).join(" "));
      return { name, node: secret.node, read: () => (secret.input.value === "" && !required ? undefined : secret.input.value) };
    }
    if (Array.isArray(schema.enum)) return choice(schema.enum);
    if (kind === "boolean") return choice([true, false]);
    if (kind === "integer" || kind === "number") {
      return around(make("input", { inputmode: kind === "integer" ? "numeric" : "decimal", autocomplete: "off" }), "", (text) => {
        if (text.trim() === "") return undefined;
        const number = Number(text);
        if (Number.isNaN(number)) throw new Error(`${name} must be a number`);
        return number;
      });
    }
    if (kind === "string") {
      const long = schema.maxLength === undefined || schema.maxLength > 400 ? /content|body|script|text|command/i.test(name) : false;
      const input = long ? make("textarea", { spellcheck: "false" }) : make("input", { autocomplete: "off", spellcheck: "false" });
      return around(input, "", (text) => (text === "" && !required ? undefined : text));
    }
    const items = kind === "array" && schema.items && typeof schema.items === "object" ? schema.items : null;
    if (items && Array.isArray(items.enum)) {
      const boxes = items.enum.map((value) => {
        const box = make("input", { type: "checkbox", id: newId("box"), class: "box" });
        return { value, box, node: make("div", { class: "check" }, box, make("label", { for: box.id }, pretty(value))) };
      });
      const node = make("fieldset", {}, make("legend", {}, label), make("p", { class: "hint" }, hints.filter(Boolean).join(" ")), ...boxes.map((box) => box.node));
      return { name, node, read: () => {
        const values = boxes.filter((box) => box.box.checked).map((box) => box.value);
        return values.length || required ? values : undefined;
      } };
    }
    const item = items ? kindsOf(items) : [];
    if (item.length === 1 && ["string", "integer", "number", "boolean"].includes(item[0])) {
      return around(make("textarea", { spellcheck: "false" }), "One value in each line.", (text) => {
        const values = text.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line !== "");
        if (!values.length && !required) return undefined;
        return item[0] === "string" ? values : values.map((line) => JSON.parse(line));
      });
    }
    const shape = make("details", {}, make("summary", {}, `What ${name} looks like`), make("pre", { tabindex: "0" }, pretty(schema)));
    const json = around(make("textarea", { spellcheck: "false" }), "As JSON.", (text) => {
      if (text.trim() === "") return undefined;
      try {
        return JSON.parse(text);
      } catch {
        throw new Error(`${name} must be JSON`);
      }
    });
    json.node.append(shape);
    return json;
  }

  async function openTool(name) {
    const place = byId("tool");
    let tool;
    try {
      tool = await ask("tool", { name });
    } catch (error) {
      if (key) byId("tool-count").textContent = told(error);
      return;
    }
    for (const other of document.querySelectorAll("#tool-list button")) {
      if (other.dataset.tool === name) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    const heading = make("h2", { tabindex: "-1" }, tool.title);
    const required = tool.input.required || [];
    const fields = Object.entries(tool.input.properties || {}).map(([argument, schema]) => field(argument, schema, required.includes(argument), tool.secrets.includes(argument)));
    const problem = make("p", { class: "problem", role: "alert" });
    const result = make("div");
    const form = make("div", { role: "group", "aria-label": `Arguments of ${tool.name}` }, ...fields.map((one) => one.node));
    const read = () => {
      const given = {};
      for (const one of fields) {
        const value = one.read();
        if (value !== undefined) given[one.name] = value;
      }
      return given;
    };
    let previewed = null;
    const call = confirming("Call", isRisky(tool.risk) ? "danger" : "main", run);
    const rest = () => {
      call.dataset.rests = "off";
      call.setAttribute("aria-disabled", "true");
      previewed = null;
    };
    rest();
    form.addEventListener("input", rest);
    async function preview() {
      problem.textContent = "";
      rest();
      try {
        const given = read();
        const answer = await ask("preview", { name, arguments: given });
        const title = make("h3", { tabindex: "-1" }, answer.error ? "No request can be shown" : "The request that the call sends");
        result.replaceChildren(title, make("pre", { tabindex: "0" }, answer.error || answer.request));
        title.focus();
        if (answer.error && answer.kind === "arguments") return;
        previewed = JSON.stringify(given);
        call.dataset.rests = "on";
        settle();
      } catch (error) {
        problem.textContent = error instanceof Problem || !(error instanceof TypeError) ? error.message : told(error);
      }
    }
    async function run() {
      problem.textContent = "";
      let given;
      try {
        given = read();
      } catch (error) {
        problem.textContent = error.message;
        return;
      }
      if (JSON.stringify(given) !== previewed) return;
      rest();
      say("The call is under way.");
      try {
        const answer = await ask("call", { name, arguments: given });
        const failed = answer.error !== undefined || answer.is_error;
        const title = make("h3", { tabindex: "-1", class: failed ? "problem" : "good" }, failed ? `The call failed${answer.kind ? ` (${answer.kind})` : ""}` : "The result");
        const text = pretty(answer.error !== undefined ? answer.error : answer.result);
        result.replaceChildren(title, make("pre", { tabindex: "0" }, text), make("p", { class: "hint" }, `Request id: ${answer.request_id}`));
        for (const handle of new Set(text.match(/secret:\/\/[0-9A-Za-z]{22}/g) || [])) {
          result.append(make("p", {}, make("code", {}, handle)), revealer(handle));
        }
        title.focus();
      } catch (error) {
        problem.textContent = told(error);
      }
    }
    place.replaceChildren(make("div", { class: `card${isRisky(tool.risk) ? " risky" : ""}` }, heading,
      terms([
        ["Tool", make("code", {}, tool.name)],
        ["Group", tool.group],
        ["Risk", make("span", {}, badge(tool.risk), tool.reason ? ` ${tool.reason}` : "")],
        ["Operation", make("code", {}, tool.operation)],
      ]),
      make("p", {}, tool.description), make("h3", {}, "Try it"), form, problem,
      make("div", { class: "row" }, button("Show the request", "main", preview), call),
      make("p", { class: "hint" }, "Look at the request first; then it can be sent as it is."),
      result,
      make("details", {}, make("summary", {}, "Schemas"), make("h3", {}, "Arguments"), make("pre", { tabindex: "0" }, pretty(tool.input)),
        make("h3", {}, "Result"), make("pre", { tabindex: "0" }, pretty(tool.output)))));
    place.hidden = false;
    heading.focus();
  }

  // ---- live

  const drawn = new Map();
  function table(node, head, rows) {
    // Only what changed is drawn: a reader of the screen keeps its place.
    const text = JSON.stringify(rows);
    if (drawn.get(node.id) === text) return;
    drawn.set(node.id, text);
    const cell = (kind) => (value, place) => make(kind, { class: head[place][1] ? "number" : null, scope: kind === "th" ? "col" : null }, String(value));
    node.replaceChildren(make("thead", {}, make("tr", {}, ...head.map(([title], place) => cell("th")(title, place)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))));
  }
  const clock = (ms) => new Date(ms).toLocaleTimeString();
  async function lookLive() {
    const { live } = await news("live");
    if (!key) return;
    byId("none-under-way").hidden = live.under_way.length > 0;
    byId("under-way").hidden = live.under_way.length === 0;
    byId("none-ended").hidden = live.ended.length > 0;
    byId("ended").hidden = live.ended.length === 0;
    table(byId("under-way"), [["Tool"], ["Asked by"], ["Program"], ["Risk"], ["Since"], ["s", true]],
      live.under_way.map((call) => [call.tool, call.principal, call.client, call.risk, clock(call.began_ms), (call.took_ms / 1000).toFixed(0)]));
    table(byId("ended"), [["Tool"], ["Asked by"], ["Program"], ["Risk"], ["Outcome"], ["Began"], ["ms", true]],
      live.ended.map((call) => [call.tool, call.principal, call.client, call.risk, call.outcome, clock(call.began_ms), call.took_ms.toFixed(1)]));
  }

  // ---- audit trail

  let lines = [];
  async function lookTrail() {
    const state = byId("trail-state");
    try {
      const answer = await ask("trail");
      byId("trail-lines").hidden = !answer.trail;
      state.className = "";
      if (!answer.there_is_one) {
        state.textContent = "There is no audit log.";
        return;
      }
      if (!answer.trail) {
        state.className = "problem";
        state.textContent = answer.problem;
        return;
      }
      const { intact, problem } = answer.trail;
      state.className = intact === false ? "problem" : intact ? "good" : "";
      state.textContent = intact === false ? `The log is not as it was written: ${problem || "somebody changed it"}` : intact ? "The log is as it was written." : "Whether the log is as it was written was not looked at; `keyglass audit verify` does.";
      lines = answer.trail.lines.map((line) => {
        const of = (member) => (line && typeof line === "object" ? line[member] : undefined);
        const head = ["time", "event", "tool", "decision", "outcome", "principal", "client"].map(of).filter((part) => part !== undefined && part !== null);
        return { head: head.length ? head.join(" · ") : pretty(line), whole: pretty(line), text: JSON.stringify(line).toLowerCase() };
      });
      listLines();
    } catch (error) {
      state.textContent = told(error);
    }
  }
  function listLines() {
    const wanted = byId("trail-filter").value.toLowerCase();
    byId("lines").replaceChildren(...lines.filter((line) => line.text.includes(wanted))
      .map((line) => make("li", {}, make("details", {}, make("summary", {}, line.head), make("pre", { tabindex: "0" }, line.whole)))));
  }

  // ---- charts

  function draw(name, attributes, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [attribute, value] of Object.entries(attributes)) node.setAttribute(attribute, String(value));
    node.append(...children);
    return node;
  }
  const LINES = [["p50", "half of them", "p50_ms"], ["p95", "95 of 100", "p95_ms"], ["p99", "99 of 100", "p99_ms"]];
  function frame(place, label, most, ticks, height) {
    const width = Math.max(280, Math.floor(place.clientWidth));
    const [left, right, top, bottom] = [48, 8, 8, 22];
    const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const step = (width - left - right) / most;
    const x = (minute) => left + step * (minute + 0.5);
    for (const [text, y] of ticks((part) => top + (height - top - bottom) * (1 - part))) {
      chart.append(draw("line", { class: "grid", x1: left, x2: width - right, y1: y, y2: y }), draw("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text));
    }
    for (const [minute, text, anchor] of [[0, "−60 min", "start"], [30, "−30 min", "middle"], [most - 1, "now", "end"]]) {
      chart.append(draw("text", { x: x(minute), y: height - 5, "text-anchor": anchor }, text));
    }
    return { chart, x, step, y: (part) => top + (height - top - bottom) * (1 - part) };
  }
  const legend = (entries) => make("ul", { class: "legend", "aria-hidden": "true" }, ...entries.map(([kind, text, shape]) =>
    make("li", {}, draw("svg", { viewBox: "0 0 32 10" }, shape === "line" ? draw("line", { class: kind, x1: 0, x2: 32, y1: 5, y2: 5 }) : draw("rect", { class: kind, width: 32, height: 10 })), ` ${text}`)));

  let minutes = [];
  async function lookCharts() {
    const answer = await news("charts");
    if (!key) return;
    const text = JSON.stringify(answer.minutes);
    if (drawn.get("charts") === text) return;
    drawn.set("charts", text);
    minutes = answer.minutes;
    drawCharts();
  }
  function drawCharts() {
    if (!minutes.length) return;
    const calls = minutes.reduce((sum, minute) => sum + minute.calls, 0);
    const failed = minutes.reduce((sum, minute) => sum + minute.errors, 0);
    const slowest = Math.max(1, ...minutes.map((minute) => minute.p99_ms || 0));
    const powers = Math.max(2, Math.ceil(Math.log10(slowest)) + 1);
    const scale = (ms) => Math.min(1, Math.max(0, (Math.log10(ms) + 1) / powers));
    const latency = frame(byId("latency"), `${calls} calls within the last hour; of the slowest minute 99 of 100 took at most ${slowest.toFixed(1)} ms`, minutes.length,
      (y) => Array.from({ length: powers + 1 }, (_, power) => [String(10 ** (power - 1)), y(power / powers)]), 220);
    for (const [kind, , member] of LINES) {
      let path = "";
      minutes.forEach((minute, place) => {
        const ms = minute[member];
        if (ms === null) return;
        const joins = place > 0 && minutes[place - 1][member] !== null;
        // A minute that stands alone is a short line.
        path += joins ? `L${latency.x(place)} ${latency.y(scale(ms))}` : `M${latency.x(place) - 2} ${latency.y(scale(ms))}h4`;
      });
      latency.chart.append(draw("path", { class: kind, d: path }));
    }
    byId("latency").replaceChildren(latency.chart, legend(LINES.map(([kind, text]) => [kind, text, "line"])));
    const most = Math.max(1, ...minutes.map((minute) => minute.calls));
    const errors = frame(byId("errors"), `${failed} of ${calls} calls failed within the last hour`, minutes.length, (y) => [["0", y(0)], [String(most), y(1)]], 160);
    const bar = (kind, place, count) => draw("rect", { class: kind, x: errors.x(place) - errors.step * 0.4, width: errors.step * 0.8, y: errors.y(count / most), height: errors.y(0) - errors.y(count / most) });
    minutes.forEach((minute, place) => {
      if (minute.calls) errors.chart.append(bar("calls", place, minute.calls));
      if (minute.errors) errors.chart.append(bar("failed", place, minute.errors));
    });
    byId("errors").replaceChildren(errors.chart, legend([["calls", "calls", "bar"], ["failed", "failed", "bar"]]));
    const ms = (value) => (value === null ? "" : value.toFixed(2));
    table(byId("minutes"), [["Minute"], ["Calls", true], ["Failed", true], ["p50 ms", true], ["p95 ms", true], ["p99 ms", true]],
      minutes.filter((minute) => minute.calls).reverse().map((minute) => [clock(minute.began_ms), minute.calls, minute.errors, ms(minute.p50_ms), ms(minute.p95_ms), ms(minute.p99_ms)]));
  }

  // ---- the beat

  const nothing = () => {};
  const SECTIONS = { waiting: nothing, secrets: lookHandles, tools: lookTools, live: nothing, trail: lookTrail, charts: nothing };
  let beat = null;
  async function tick() {
    clearTimeout(beat);
    if (!key) return;
    try {
      await lookWaiting();
      if (section === "live") await lookLive();
      if (section === "charts") await lookCharts();
      byId("lost").hidden = true;
    } catch (error) {
      if (key) {
        byId("lost").textContent = told(error);
        byId("lost").hidden = false;
      }
    }
    clearTimeout(beat);
    if (key) beat = setTimeout(tick, document.hidden ? 5000 : 1000);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      settle();
      tick();
    }
  });
  addEventListener("focus", settle);
  let sized = null;
  addEventListener("resize", () => {
    clearTimeout(sized);
    sized = setTimeout(() => { if (section === "charts") drawCharts(); }, 200);
  });
  byId("unlock").addEventListener("click", () => unlock(byId("link").value));
  byId("link").addEventListener("keydown", (event) => { if (event.key === "Enter") unlock(byId("link").value); });
  byId("new-link").addEventListener("click", async () => {
    try {
      await ask("link");
      byId("new-link-said").textContent = "It is there, unless one that is good yet was there already.";
    } catch (error) {
      byId("new-link-said").textContent = told(error);
    }
  });
  byId("leave").addEventListener("click", async () => {
    try {
      await ask("leave");
    } catch {
      // It ends by itself as well.
    }
    lock("You locked this page.");
  });
  byId("search").addEventListener("input", listTools);
  byId("trail-filter").addEventListener("input", listLines);
  byId("reload-secrets").addEventListener("click", lookHandles);
  byId("reload-trail").addEventListener("click", lookTrail);

  const given = location.hash.slice(1);
  if (TOKEN.test(given)) {
    // At once: it belongs in no history.
    history.replaceState(null, "", location.pathname);
    unlock(given);
  } else if (key) {
    opened();
  } else {
    lock();
  }
})();
