// Makes an open page refresh itself, lets keys lead through it, and lets a box be drawn in a heat map.
// Every page reads without this script. It fetches pages of this server alone.
"use strict";
(() => {
  const body = document.body, live = body.dataset.live;
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const state = $("#state");
  let paused = false, waiting = false, source = null, timer = 0;

  const say = (text) => { if (state) state.textContent = text ? " · " + text : ""; };
  const isBusy = () => paused || document.hidden || !getSelection().isCollapsed || drawing !== null || body.classList.contains("drawing")
    || (document.activeElement && document.activeElement.matches("main input, main textarea, main select"));

  // The panels as the server sent them: a script may have laid charts over their pictures since.
  const served = new WeakMap();
  const keep = (panel) => served.set(panel, panel.innerHTML);
  all("[data-panel]").forEach(keep);

  // Replaces the panels that differ. Focus, scroll position and the chosen row stay.
  const refresh = async () => {
    if (isBusy()) { waiting = true; return; }
    waiting = false;
    let text;
    try {
      const answer = await fetch(location.href);
      if (answer.status === 401) { say("the server has started anew: open the address that it printed"); return; }
      text = await answer.text();
    } catch { say("the server does not answer"); return; }
    if (isBusy()) { waiting = true; return; }
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (body.hasAttribute("data-waits") || fresh.body.hasAttribute("data-waits")) {
      if (fresh.body.hasAttribute("data-waits") !== body.hasAttribute("data-waits")) location.reload();
      return;
    }
    const focused = document.activeElement;
    for (const panel of all("[data-panel]")) {
      const next = $(`[data-panel="${CSS.escape(panel.dataset.panel)}"]`, fresh);
      if (!next || next.innerHTML === served.get(panel)) continue;
      if (panel.contains(focused)) {
        const address = focused.getAttribute("href");
        panel.replaceChildren(...document.importNode(next, true).childNodes);
        const again = address && all("a[href]", panel).find((link) => link.getAttribute("href") === address);
        if (again) again.focus({ preventScroll: true });
      } else panel.replaceChildren(...document.importNode(next, true).childNodes);
      keep(panel);
    }
    document.dispatchEvent(new Event("refreshed"));
    markRow();
    say("");
  };
  const listen = () => {
    if (source) source.close();
    source = new EventSource(live + "?db=" + encodeURIComponent(body.dataset.db || ""));
    source.addEventListener("tick", refresh);
    source.onerror = () => {
      if (source.readyState !== EventSource.CLOSED) return;
      // The server has no room for another listener, or is gone: the page asks now and then.
      clearTimeout(timer);
      timer = setTimeout(() => { refresh(); listen(); }, 10000);
    };
  };
  if (live && window.EventSource) {
    addEventListener("pagehide", () => { if (source) source.close(); });
    addEventListener("pageshow", listen);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) refresh(); });
    document.addEventListener("selectionchange", () => { if (waiting && getSelection().isCollapsed) refresh(); });
    if (body.hasAttribute("data-waits")) setInterval(refresh, 3000);
  }

  // On a narrow screen the bar of pages scrolls: the page that is open is in view.
  const bar = $("nav"), current = $("nav a[aria-current]");
  if (current) bar.scrollLeft = current.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;

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
  const shift = (by) => {
    const now = Number(body.dataset.now) / 1e6;
    const to = body.dataset.to ? Math.min(Number(body.dataset.to) / 1e6, now) : now;
    const from = body.dataset.from ? Number(body.dataset.from) / 1e6 : to - 900000;
    const span = to - from, address = new URL(location.href);
    address.searchParams.set("from", Math.round(from + by * span) + "000000");
    address.searchParams.set("to", Math.round(to + by * span) + "000000");
    address.searchParams.delete("before");
    location.href = address;
  };
  const keys = {
    "/": () => $("#filter") && $("#filter").focus(),
    j: () => step(1), k: () => step(-1),
    Enter: () => { const link = rows()[row] && $("a[href]", rows()[row]); if (link) link.click(); },
    u: () => { const here = $("nav a[aria-current]"); if (here) here.click(); else history.back(); },
    "[": () => shift(-1), "]": () => shift(1),
    " ": () => { paused = !paused; say(paused ? "paused" : ""); if (!paused) refresh(); },
    y: () => { const command = $("#command"); if (command && navigator.clipboard) navigator.clipboard.writeText(command.textContent).then(() => say("copied"), () => {}); },
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

  // A box in the heat map fills the form below it and sends it.
  let drawing = null;
  const place = (map, event) => {
    const frame = map.getBoundingClientRect();
    const part = (at, from, size) => Math.min(Math.max((at - from) / size, 0), 1);
    return [part(event.clientX, frame.left, frame.width), part(event.clientY, frame.top, frame.height)];
  };
  const drawBox = (map, from, to) => {
    const data = map.dataset, box = drawing.box;
    const x = Math.min(from[0], to[0]) * data.columns, y = Math.min(from[1], to[1]) * data.rows;
    box.setAttribute("x", x); box.setAttribute("y", y);
    box.setAttribute("width", Math.abs(from[0] - to[0]) * data.columns);
    box.setAttribute("height", Math.abs(from[1] - to[1]) * data.rows);
  };
  document.addEventListener("pointerdown", (event) => {
    const map = event.target.closest && event.target.closest("svg.heat");
    if (!map || event.button !== 0) return;
    event.preventDefault();
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    box.setAttribute("class", "drawn");
    map.append(box);
    drawing = { map, box, from: place(map, event) };
  });
  document.addEventListener("pointermove", (event) => { if (drawing) drawBox(drawing.map, drawing.from, place(drawing.map, event)); });
  document.addEventListener("pointerup", (event) => {
    if (!drawing) return;
    const { map, from, box } = drawing, to = place(map, event), data = map.dataset, form = $("#box");
    drawing = null;
    if (!form || Math.abs(from[0] - to[0]) < .005 || Math.abs(from[1] - to[1]) < .01) { box.remove(); return; }
    const time = (part) => (BigInt(data.from) + BigInt(Math.round(part * data.columns * Number(data.step)))).toString();
    const [low, high] = [Math.log(Number(data.low)), Math.log(Number(data.high))];
    const duration = (part) => Math.round(Math.exp(high - (high - low) * part)) + "ns";
    const fields = form.elements;
    fields.from.value = time(Math.min(from[0], to[0]));
    fields.to.value = time(Math.max(from[0], to[0]));
    fields.min.value = duration(Math.max(from[1], to[1]));
    fields.max.value = duration(Math.min(from[1], to[1]));
    form.submit();
  });
  document.addEventListener("pointercancel", () => { if (drawing) { drawing.box.remove(); drawing = null; } });
})();
