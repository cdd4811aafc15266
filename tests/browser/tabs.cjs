// Opens tabs of a dashboard and keeps them open until its input ends: pages that refresh with every commit of a program.
// It prints a line once all are open, and at its end how often they were refreshed.
"use strict";
const { chromium } = require("playwright-core");
const { ADDRESS, CHROMIUM } = process.env;
const TABS = ["/", "/functions", "/calls", "/f/"];

(async () => {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const first = await context.newPage();
  await first.goto(ADDRESS, { timeout: 60000 });
  await first.goto(new URL("/functions", ADDRESS).href, { timeout: 60000 });
  const link = await first.locator("main tbody a[href*='/f/']").first().getAttribute("href");
  let refreshes = 0;
  const open = async (tab, target) => {
    // Every refresh asks for the page anew. A tab that is not in front is not hidden in a browser without windows.
    tab.on("request", (request) => { if (request.resourceType() === "fetch") refreshes += 1; });
    await tab.goto(new URL(target === "/f/" ? link : target, ADDRESS).href, { timeout: 60000 });
  };
  await open(first, TABS[0]);
  for (const target of TABS.slice(1)) await open(await context.newPage(), target);
  console.log("open");
  for await (const _ of process.stdin) ;
  console.log(`refreshes ${refreshes}`);
  await browser.close();
})().catch((error) => { console.error(error); process.exit(1); });
