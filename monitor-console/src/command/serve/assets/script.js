// Makes an open page refresh itself, lets keys lead through it, and lets a box be drawn in a heat map.
// Every page reads without this script. It fetches pages of this server alone.
"use strict";
(() => {
  const body = document.body, { live } = body.dataset, waits = "waits" in body.dataset;
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const state = $("#state");
  let paused = false, waiting = false, source = null, timer = 0, drawn = null;

  const say = (text) => { if (state) state.textContent = text && " · " + text; };
  const isBusy = () => paused || drawn || document.hidden || !getSelection().isCollapsed
    || document.activeElement?.matches("main input, main textarea, main select");

  // The panels as the server sent them: a script may have laid charts over their pictures since.
  const served = new WeakMap(all("[data-panel]").map((panel) => [panel, panel.innerHTML]));

  // Replaces the panels that differ. Focus, scroll position and the chosen row stay.
  const refresh = async () => {
    waiting = isBusy();
    if (waiting) return;
    let answer, text;
    try {
      answer = await fetch(location.href);
      text = await answer.text();
    } catch { return say("the server does not answer"); }
    if (answer.status === 401) return say("the server has started anew: open the address that it printed");
    waiting = isBusy();
    if (waiting) return;
    // The store went away, or is there again.
    const isGone = answer.status === 503;
    if (isGone !== waits) return location.reload();
    if (isGone) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const panel of all("[data-panel]")) {
      const next = $(`[data-panel="${CSS.escape(panel.dataset.panel)}"]`, fresh);
      if (!next || next.innerHTML === served.get(panel)) continue;
      const focused = document.activeElement, address = panel.contains(focused) && focused.getAttribute("href");
      const isSame = (link) => link.id ? link.id === focused.id : link.getAttribute("href") === address;
      served.set(panel, next.innerHTML);
      panel.replaceChildren(...next.childNodes);
      if (address) all("a[href]", panel).find(isSame)?.focus({ preventScroll: true });
    }
    document.dispatchEvent(new Event("refreshed"));
    markRow();
    say("");
  };
  const listen = () => {
    source?.close();
    source = new EventSource(live + "?db=" + encodeURIComponent(body.dataset.db));
    source.addEventListener("tick", refresh);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return;
      // The server has no room for another listener, or is gone: the page asks now and then.
      clearTimeout(timer);
      timer = setTimeout(() => { refresh(); listen(); }, 10000);
    };
  };
  if (live) {
    addEventListener("pagehide", () => source?.close());
    addEventListener("pageshow", listen);
  }
  if (waits) setInterval(refresh, 3000);
  for (const name of ["visibilitychange", "selectionchange"]) document.addEventListener(name, () => { if (waiting) refresh(); });

  // On a narrow screen the bar of pages scrolls: the page that is open is in view.
  const bar = $("nav"), current = $("nav a[aria-current]");
  if (current) bar.scrollLeft = current.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;

  // Leads to this page with another span of time, given as parts of a span: 0 is its start, 1 its end.
  const show = (span, parts, parameters) => {
    if (!span.from) return;
    const first = BigInt(span.from), length = Number(BigInt(span.until) - first), address = new URL(location.href);
    const [from, to] = parts.map((part) => first + BigInt(Math.round(part * length)));
    for (const [name, value] of Object.entries({ from, to, ...parameters })) address.searchParams.set(name, value);
    location.href = address;
  };
  document.addEventListener("span", ({ detail }) => show(...detail));

  // Rows are chosen with j and k.
  let row = -1;
  const rows = () => all("main tbody tr, main .finding");
  const markRow = () => rows().forEach((line, at) => line.classList.toggle("here", at === row));
  const step = (by) => {
    const lines = rows();
    if (!lines.length) return;
    row = Math.min(Math.max(row + by, 0), lines.length - 1);
    markRow();
    lines[row].scrollIntoView({ block: "nearest" });
  };
  const keys = {
    "/": () => $("#filter")?.focus(),
    j: () => step(1), k: () => step(-1),
    Enter: () => rows()[row] && $("a[href]", rows()[row])?.click(),
    u: () => current ? current.click() : history.back(),
    "[": () => $("#earlier")?.click(), "]": () => $("#later")?.click(),
    " ": () => { paused = !paused; say(paused ? "paused" : ""); if (!paused) refresh(); },
    y: () => { const command = $("#command"); if (!command) say("no command shows the same"); else navigator.clipboard?.writeText(command.textContent).then(() => say("copied"), () => {}); },
    "?": () => { const help = $(".help"); if (help) { help.open = !help.open; help.scrollIntoView(); } },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, textarea, select")) { if (event.key === "Escape") event.target.blur(); return; }
    if (event.target.matches("a, button, summary") && (event.key === "Enter" || event.key === " ")) return;
    const page = /^[1-9]$/.test(event.key) && all("nav a")[event.key - 1];
    const act = page ? () => page.click() : keys[event.key];
    if (!act || event.key === "Enter" && row < 0) return;
    event.preventDefault();
    act();
  });

  // A box that is drawn in a heat map leads to the page that explains its calls. A chart takes its pointer itself.
  let box = null, start = null;
  const place = (event) => {
    const frame = drawn.getBoundingClientRect(), part = (at, size) => Math.min(Math.max(at / size, 0), 1);
    return [part(event.clientX - frame.left, frame.width), part(event.clientY - frame.top, frame.height)];
  };
  const measure = (event) => place(event).map((part, at) => [Math.min(part, start[at]), Math.max(part, start[at])]);
  addEventListener("pointerdown", (event) => {
    drawn = event.button === 0 && event.target.closest?.(".over, svg.heat");
    if (!drawn || drawn.matches(".over")) return;
    event.preventDefault();
    box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    box.setAttribute("class", "drawn");
    drawn.append(box);
    start = place(event);
  });
  addEventListener("pointermove", (event) => {
    if (!box) return;
    const [[left, right], [top, bottom]] = measure(event), sides = { x: left, y: top, width: right - left, height: bottom - top };
    for (const side in sides) box.setAttribute(side, sides[side] * 100 + "%");
  });
  const leave = () => { box?.remove(); drawn = box = null; };
  addEventListener("pointercancel", leave);
  addEventListener("pointerup", (event) => {
    if (box) {
      const [[left, right], [top, bottom]] = measure(event), { low, high } = drawn.dataset;
      const duration = (part) => Math.round(high * (low / high) ** part) + "ns";
      if (right - left > .005 && bottom - top > .01) show(drawn.dataset, [left, right], { min: duration(bottom), max: duration(top) });
    }
    leave();
  });
})();
