// Opens every page of a dashboard that is being served, and fails on anything that a reader would trip over. KIND says
// what the store holds: `demo` and `service` have every kind of row and are looked at in full, others in part.
"use strict";
const fs = require("fs");
const path = require("path");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const { ADDRESS, CHROMIUM, KIND, PICTURES } = process.env;
const ORIGIN = new URL(ADDRESS).origin;
const isRecorded = ["demo", "service"].includes(KIND);
const list = (text, all) => text ? text.split(",") : all;
// WIDTHS=1280 and SCHEMES=dark narrow a run while a page is being worked on.
const WIDTHS = list(process.env.WIDTHS, isRecorded ? [360, 1280, 2560] : [360, 1280]).map(Number);
const SCHEMES = list(process.env.SCHEMES, isRecorded ? ["light", "dark"] : ["dark"]);
const PAGES = ["/", "/functions", "/calls", "/calls?failed=1", "/errors", "/logs", "/flame", "/graph", "/graph?q=*", "/diff",
  "/diff?before=process:1&after=process:1&all=1", "/findings", "/processes", "/health", "/series", "/alerts", "/alerts?rule=failures&level=critical", "/rates", "/rates?pattern=*&rate=0.1", "/sql",
  "/sql?sql=SELECT+function,+calls,+p95_ms+FROM+functions", "/schema"];
// What a page may weigh: bytes as sent, and elements.
const FIRST_PAGE_BYTES_MAX = 20 * 1024;
const PAGE_ELEMENTS_MAX = 2500;
const EVENT_BYTES_MAX = 200;
// The height from which on a row of a table is out of shape: its long texts are squeezed into a narrow column.
const ROW_HEIGHT_MAX = 160;

const faults = [];
const fault = (where, what) => {
  const text = `${KIND} ${where}: ${what}`;
  if (!faults.includes(text)) { faults.push(text); console.error(text); }
};

/** Makes a tab report what goes wrong. */
const watch = (tab) => {
  tab.on("console", (message) => { if (["error", "warning"].includes(message.type())) fault(tab.url(), `console: ${message.text()}`); });
  tab.on("pageerror", (error) => fault(tab.url(), `script: ${error.message}`));
  tab.on("dialog", (dialog) => { fault(tab.url(), `dialog: ${dialog.message()}`); dialog.dismiss(); });
  tab.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== ORIGIN && url.protocol !== "data:") fault(tab.url(), `asks another server: ${request.url()}`);
  });
  return tab;
};
const open = async (tab, target) => {
  const answer = await tab.goto(new URL(target, ADDRESS).href, { waitUntil: "load", timeout: 60000 });
  if (answer.status() !== 200) fault(target, `status ${answer.status()}`);
};
const nameOf = (target) => (target.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "") || "now").slice(0, 40);

(async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  const enter = async (options) => {
    const context = await browser.newContext(options);
    await context.addInitScript(() => document.addEventListener("securitypolicyviolation",
      (event) => console.error(`security policy: ${event.violatedDirective} ${event.blockedURI}`)));
    const tab = watch(await context.newPage());
    await tab.goto(ADDRESS, { timeout: 60000 });
    if (tab.url().includes("t=")) fault("/", "the token stays in the address");
    return { context, tab };
  };

  // The pages about one thing are those that the lists lead to.
  const first = await enter({ viewport: { width: 1280, height: 900 } });
  const linked = async (target, selector) => {
    await open(first.tab, target);
    const link = first.tab.locator(selector).first();
    return await link.count() ? new URL(await link.getAttribute("href"), ADDRESS).pathname : null;
  };
  const subjects = [await linked("/functions", "main tbody a[href*='/f/']"), await linked("/calls?failed=1", "main a[href*='/call/']"),
    await linked("/calls?sort=duration", "main a[href*='/call/']"), await linked("/errors", "main a[href*='/error/']"),
    await linked("/errors", "main a[href*='/trace/']"), await linked("/processes", "main a[href*='/process/']")];
  const texts = [];
  for (const call of subjects.slice(1, 3).filter(Boolean)) {
    const text = await linked(call, "main a[href*='/call/'][href$='args'], main a[href*='/call/'][href$='error']");
    if (text) texts.push(text);
    subjects.push(call.replace("/call/", "/trace/"));
  }
  if (isRecorded) subjects.forEach((target, at) => { if (!target) fault("lists", `no link to a page of kind ${at}`); });
  // Two sides of a comparison need a run.
  const known = PAGES.filter((target) => KIND !== "empty" || !target.includes("process:"));
  const targets = [...new Set(known.concat(subjects.filter(Boolean)))];
  // A value as plain text is nothing that a browser runs, whatever it holds.
  for (const text of new Set(texts)) {
    const answer = await first.tab.goto(new URL(text, ADDRESS).href);
    if (!answer.headers()["content-type"].startsWith("text/plain")) fault(text, "is not plain text");
  }

  // What the first page weighs, on the wire, with its style.
  const light = await browser.newContext({ storageState: await first.context.storageState() });
  const scale = await light.newPage();
  const loaded = [];
  scale.on("requestfinished", (request) => loaded.push(request));
  await scale.goto(`${ORIGIN}/`, { waitUntil: "load" });
  let bytes = 0;
  for (const request of loaded.filter((request) => ["document", "stylesheet"].includes(request.resourceType()))) {
    bytes += (await request.sizes()).responseBodySize;
  }
  if (bytes > FIRST_PAGE_BYTES_MAX || bytes === 0) fault("/", `the first page takes ${bytes} bytes`);
  const parts = loaded.filter((request) => request.resourceType() !== "eventsource");
  if (parts.length > 4) fault("/", `the first page takes ${parts.length} requests: ${parts.map((request) => request.url()).join(" ")}`);
  // What a tick takes: the first bytes that the page hears.
  const heard = await scale.evaluate(async () => {
    const stream = (await fetch(document.body.dataset.live)).body.getReader();
    const { value } = await stream.read();
    await stream.cancel();
    return value.length;
  });
  if (heard > EVENT_BYTES_MAX) fault("/live", `an event takes ${heard} bytes`);
  await light.close();

  // Without scripts every page has its heading and its content.
  const plain = await enter({ javaScriptEnabled: false, viewport: { width: 1280, height: 900 } });
  for (const target of targets) {
    await open(plain.tab, target);
    const heading = await plain.tab.locator("main h1").count();
    const content = await plain.tab.locator("main table, main svg, main dl, main form, main p").count();
    if (heading !== 1 || content === 0) fault(target, "without scripts there is no content");
  }
  // The form of the bar narrows a page without a script.
  await open(plain.tab, "/functions");
  await plain.tab.fill("#filter", "nobody::*");
  await plain.tab.click(".top button");
  if (!plain.tab.url().includes("q=nobody")) fault("/functions", `without scripts the filter leads to ${plain.tab.url()}`);
  await plain.context.close();

  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) {
      const { context, tab } = await enter({ colorScheme: scheme, viewport: { width, height: 900 } });
      for (const target of targets) {
        await open(tab, target);
        const shape = await tab.evaluate(() => {
          const bar = document.querySelector("nav").getBoundingClientRect();
          const here = document.querySelector("nav a[aria-current]");
          const place = here && here.getBoundingClientRect();
          return {
            over: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            elements: document.querySelectorAll("*").length,
            row: Math.max(0, ...[...document.querySelectorAll("main tbody tr")].map((row) => row.offsetHeight)),
            isHidden: Boolean(here) && (place.left < bar.left - 1 || place.right > bar.right + 1),
          };
        });
        if (shape.over > 1) fault(target, `at ${width} px the page is ${shape.over} px wider than the window`);
        if (shape.isHidden) fault(target, `at ${width} px the bar does not show which page is open`);
        if (isRecorded && shape.row > ROW_HEIGHT_MAX) fault(target, `at ${width} px a row is ${shape.row} px high`);
        if (isRecorded && shape.elements > PAGE_ELEMENTS_MAX) fault(target, `the page has ${shape.elements} elements`);
        if (PICTURES) {
          fs.mkdirSync(PICTURES, { recursive: true });
          await tab.screenshot({ path: path.join(PICTURES, `${nameOf(target)}-${width}-${scheme}.png`) });
        }
        if (width === 1280) {
          // The policy of the page forbids a script from elsewhere, so axe is run by the browser itself.
          await tab.evaluate(axe);
          const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
          for (const rule of found.violations.filter((rule) => ["serious", "critical"].includes(rule.impact))) {
            fault(`${target} ${scheme}`, `${rule.id}: ${rule.nodes.slice(0, 2).map((node) => node.html.slice(0, 120)).join(" | ")}`);
          }
        }
      }
      await context.close();
    }
  }

  // Going back and forward, keys, and a box in the heat map.
  const { tab } = first;
  const expect = (what, end) => { if (!new URL(tab.url()).pathname.endsWith(end)) fault(what, `leads to ${tab.url()}`); };
  await open(tab, "/functions");
  await tab.click("nav a[href*='/calls']");
  // While the click still loads a page, there is no page to go back from.
  await tab.waitForURL("**/calls**", { timeout: 60000 });
  await tab.goBack();
  expect("back", "/functions");
  await tab.goForward();
  expect("forward", "/calls");
  await open(tab, "/functions");
  if (isRecorded) {
    await tab.keyboard.press("j");
    if (await tab.locator("tr.here").count() !== 1) fault("keys", "j chooses no row");
    await tab.keyboard.press("Enter");
    await tab.waitForURL("**/f/**", { timeout: 60000 });
    const map = tab.locator("svg.heat");
    if (await map.count()) {
      await map.scrollIntoViewIfNeeded();
      const frame = await map.boundingBox();
      await tab.mouse.move(frame.x + 2, frame.y + 2);
      await tab.mouse.down();
      await tab.mouse.move(frame.x + frame.width - 2, frame.y + frame.height - 2, { steps: 4 });
      await tab.mouse.up();
      await tab.waitForURL("**min=**", { timeout: 60000 });
      if (await tab.locator("#drawn").count() !== 1) fault("heat", "a box is not explained");
      if (PICTURES) await tab.screenshot({ path: path.join(PICTURES, "box-1280-light.png"), fullPage: true });
    } else fault("heat", "there is no heat map");
  }

  // A chart shows the values under the pointer, and a span of time that is drawn in it narrows the page.
  if (isRecorded && subjects[0]) {
    await open(tab, subjects[0]);
    const chart = tab.locator("figure.live .u-over").first();
    await chart.waitFor({ timeout: 60000 }).catch(() => fault("charts", "there is no chart"));
    await chart.scrollIntoViewIfNeeded();
    const frame = await chart.boundingBox();
    const at = (part) => [frame.x + frame.width * part, frame.y + frame.height / 2];
    for (let part = .05; part < 1 && !(await tab.locator("figure output").allInnerTexts()).some((text) => /\d/.test(text)); part += .02) {
      await tab.mouse.move(...at(part));
    }
    if (!(await tab.locator("figure output").allInnerTexts()).some((text) => /\d/.test(text))) fault("charts", "no value shows under the pointer");
    if (PICTURES) await tab.screenshot({ path: path.join(PICTURES, "chart-1280-light.png"), fullPage: true });
    await tab.mouse.move(...at(.2));
    await tab.mouse.down();
    await tab.mouse.move(...at(.8), { steps: 4 });
    await tab.mouse.up();
    await tab.waitForURL("**from=**", { timeout: 60000 });
    if (await tab.locator("figure.live").count() === 0) fault("charts", "a span that is drawn has no chart");
  }

  // A form sets a rate and leads back; a reset takes it away.
  if (KIND !== "own") {
    const asked = "no_such_function::*";
    await open(tab, `/rates?pattern=${encodeURIComponent(asked)}&rate=0.5`);
    await tab.click("form.write button");
    await tab.waitForLoadState("load");
    if (!(await tab.locator("main").innerText()).includes(asked)) fault("rates", "the rate is not set");
    await tab.locator("#settings tr", { hasText: asked }).locator("form.write button").click();
    await tab.waitForLoadState("load");
    if ((await tab.locator("#settings").innerText()).includes(asked)) fault("rates", "the rate is not reset");
  }

  await browser.close();
  if (faults.length) {
    console.error(`${KIND}: ${faults.length} faults`);
    process.exit(1);
  }
  console.log(`${KIND}: ${targets.length} pages, ${WIDTHS.length} widths, ${SCHEMES.length} colour schemes: no fault; the first page takes ${bytes} bytes`);
})().catch((error) => { console.error(error); process.exit(1); });
