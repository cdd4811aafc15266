// Hands the exports in a folder to speedscope's JSON schema, to Perfetto's trace processor and to Chromium, and compares
// what they read with expected.json, which read.py wrote. PERFETTO is the folder of Perfetto's page.
"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");
const { pathToFileURL } = require("url");
const Ajv = require("ajv");
const { chromium } = require("playwright-core");

const { CHROMIUM, PERFETTO } = process.env;
const folder = path.resolve(process.argv[2]);
const expected = JSON.parse(fs.readFileSync(path.join(folder, "expected.json")));
const read = (name) => fs.readFileSync(path.join(folder, name));
const fail = (text) => { throw new Error(`${path.basename(folder)}: ${text}`); };
const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);

/** Validates the profile against the schema that speedscope ships, and adds up its weights. */
const checkProfile = () => {
  const schema = JSON.parse(fs.readFileSync(require.resolve("speedscope/dist/release/file-format-schema.json")));
  const validate = new Ajv({ strict: false }).compile(schema);
  const profile = JSON.parse(read("profile.speedscope.json"));
  if (!validate(profile)) fail(`speedscope's schema: ${JSON.stringify(validate.errors.slice(0, 3))}`);
  if (validate({ ...profile, shared: {} })) fail("the schema accepts anything");
  const weights = { self: expected.weights.self, calls: expected.weights.calls, failures: expected.weights.failures };
  profile.profiles.forEach((kind, at) => {
    const wanted = Object.values(weights)[at];
    if (sum(kind.weights) !== wanted || kind.endValue !== wanted) fail(`speedscope's ${kind.name} is ${sum(kind.weights)}, not ${wanted}`);
  });
};

// Perfetto's trace processor speaks protocol buffers: requests and answers are messages in a stream.
const varint = (number) => {
  const bytes = [];
  for (; number > 127; number = Math.floor(number / 128)) bytes.push(number % 128 + 128);
  return Buffer.from([...bytes, number]);
};
const field = (number, content) => typeof content === "number"
  ? Buffer.concat([varint(number * 8), varint(content)])
  : Buffer.concat([varint(number * 8 + 2), varint(content.length), content]);
/** Splits a message into its fields: number, and integer or bytes. */
const split = (bytes) => {
  const fields = [];
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = Number(next());
    const number = key >> 3;
    if ((key & 7) === 0) fields.push([number, next()]);
    else if ((key & 7) === 1) { fields.push([number, bytes.subarray(at, at + 8)]); at += 8; }
    else if ((key & 7) === 2) { const size = Number(next()); fields.push([number, bytes.subarray(at, at + size)]); at += size; }
    else fail(`a field of kind ${key & 7}`);
  }
  return fields;
};
const texts = (bytes) => bytes.toString("utf8").split("\0").slice(0, -1);
const integers = (bytes) => {
  const all = [];
  for (let at = 0; at < bytes.length;) {
    let value = 0n, shift = 0n, byte;
    do { byte = bytes[at++]; value |= BigInt(byte & 127) << shift; shift += 7n; } while (byte > 127);
    all.push(BigInt.asIntN(64, value));
  }
  return all;
};
/** Reads the rows of a QueryResult: cells of all rows, one kind after another. */
const readRows = (message) => {
  const fields = split(message);
  const error = fields.find(([number]) => number === 2);
  if (error && error[1].length) fail(`Perfetto: ${error[1].toString()}`);
  const columns = fields.filter(([number]) => number === 1).map(([, name]) => name.toString());
  const cells = [];
  for (const [, batch] of fields.filter(([number]) => number === 3)) {
    const parts = split(batch);
    const part = (number) => Buffer.concat(parts.filter(([own]) => own === number).map(([, bytes]) => bytes));
    const [whole, strings] = [integers(part(2)), texts(part(5))];
    const doubles = part(3);
    let real = 0;
    for (const kind of integers(part(1)).map(Number)) {
      cells.push(kind === 2 ? Number(whole.shift()) : kind === 3 ? doubles.readDoubleLE(8 * real++) : kind === 4 ? strings.shift() : null);
    }
  }
  const rows = [];
  for (let at = 0; at < cells.length; at += columns.length) {
    rows.push(Object.fromEntries(columns.map((name, column) => [name, cells[at + column]])));
  }
  return rows;
};

/**
 * Loads a timeline of this many copies of the store into the trace processor, which runs as WebAssembly in a worker of the
 * browser.
 */
const checkTimeline = async (browser, name, copies) => {
  const kinds = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = http.createServer((request, answer) => {
    const name = path.basename(new URL(request.url, "http://localhost").pathname);
    const file = path.join(PERFETTO, name);
    if (name && fs.existsSync(file)) {
      answer.writeHead(200, { "content-type": kinds[path.extname(name)] || "application/octet-stream" });
      fs.createReadStream(file).pipe(answer);
    } else answer.writeHead(200, { "content-type": "text/html" }).end("<title>engine</title>");
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const tab = await browser.newPage();
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  await tab.evaluate(() => {
    const worker = new Worker("/engine_bundle.js"), channel = new MessageChannel();
    worker.postMessage(channel.port2, [channel.port2]);
    const waiting = [];
    let rest = new Uint8Array();
    // An answer is field 1 of a stream, and may come in pieces.
    channel.port1.onmessage = (event) => {
      const joined = new Uint8Array(rest.length + event.data.length);
      joined.set(rest); joined.set(event.data, rest.length);
      rest = joined;
      for (;;) {
        let at = 1, size = 0, shift = 1, byte;
        if (rest.length < 2) return;
        do { byte = rest[at++]; size += (byte & 127) * shift; shift *= 128; } while (byte > 127 && at < rest.length);
        if (rest.length < at + size) return;
        const message = rest.slice(at, at + size);
        rest = rest.slice(at + size);
        waiting.shift()(btoa(Array.from(message, (code) => String.fromCharCode(code)).join("")));
      }
    };
    window.ask = (request) => new Promise((done) => {
      waiting.push(done);
      channel.port1.postMessage(Uint8Array.from(atob(request), (letter) => letter.charCodeAt(0)));
    });
  });
  let sequence = 0;
  const ask = async (method, ...fields) => {
    const message = Buffer.concat([field(1, sequence++), field(2, method), ...fields]);
    const answer = await tab.evaluate((request) => window.ask(request), field(1, message).toString("base64"));
    const parts = split(Buffer.from(answer, "base64"));
    const fatal = parts.find(([number]) => number === 5);
    if (fatal) fail(`Perfetto: ${fatal[1].toString()}`);
    return parts;
  };
  const query = async (sql) => {
    const parts = await ask(3, field(103, field(1, Buffer.from(sql))));
    return readRows(Buffer.concat(parts.filter(([number]) => number === 203).map(([, result]) => result)));
  };
  const timeline = read(name);
  for (let at = 0; at < timeline.length; at += 1 << 20) await ask(1, field(101, timeline.subarray(at, at + (1 << 20))));
  await ask(2);
  const bad = await query("SELECT name, severity, value FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0");
  if (bad.length) fail(`Perfetto's statistics: ${JSON.stringify(bad)}`);
  const slices = await query("SELECT name, count(*) AS slices, sum(dur) AS ns, min(dur) AS least FROM slice GROUP BY name");
  const found = new Map(slices.map((row) => [row.name, row]));
  for (const { function: name, calls, ns } of expected.calls) {
    const row = found.get(name);
    const wanted = { slices: copies * calls, ns: copies * ns };
    if (!row || row.slices !== wanted.slices) fail(`Perfetto has ${row ? row.slices : 0} slices of ${name}, not ${wanted.slices}`);
    if (row.ns !== wanted.ns) fail(`Perfetto's slices of ${name} take ${row.ns} ns, not ${wanted.ns}`);
  }
  if (found.size !== expected.calls.length) fail(`Perfetto has ${found.size} names, not ${expected.calls.length}`);
  const events = JSON.parse(timeline).traceEvents;
  const processes = events.filter((event) => event.name === "process_name").map((event) => event.args.name).sort();
  const known = await query(
    "SELECT process.name AS name FROM slice JOIN thread_track ON slice.track_id = thread_track.id " +
    "JOIN thread USING (utid) JOIN process USING (upid) GROUP BY upid ORDER BY process.name");
  if (JSON.stringify(known.map((row) => row.name)) !== JSON.stringify(processes)) {
    fail(`Perfetto has slices of the processes ${JSON.stringify(known)}, not ${JSON.stringify(processes)}`);
  }
  const [{ samples }] = await query("SELECT count(*) AS samples FROM counter");
  const counters = events.filter((event) => event.ph === "C").length;
  if (samples !== counters) fail(`Perfetto has ${samples} samples of counters, not ${counters}`);
  const [{ deepest }] = await query("SELECT max(depth) AS deepest FROM slice");
  if (!(deepest > 0)) fail("no slice of Perfetto lies below another");
  await tab.close();
  server.close();
  return sum(slices.map((row) => row.slices));
};

/** Opens the pages from the disk: no error, no request but for the file itself, and a picture. */
const checkPages = async (browser) => {
  const faults = [];
  for (const name of ["flame.html", "report.html", "report-values.html", "self.svg"]) {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const address = pathToFileURL(path.join(folder, name)).href;
    tab.on("console", (message) => faults.push(`${name}: ${message.text()}`));
    tab.on("pageerror", (error) => faults.push(`${name}: ${error.message}`));
    tab.on("request", (request) => { if (request.url() !== address && !request.url().startsWith("data:")) faults.push(`${name} asks for ${request.url()}`); });
    await tab.goto(address, { waitUntil: "load" });
    const over = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (name.endsWith(".html") && over > 1) faults.push(`${name} is ${over} px wider than the window`);
    const text = await tab.evaluate(() => document.documentElement.textContent);
    const shown = expected.calls.filter(({ function: called }) => text.includes(called.split("::").pop())).length;
    if (shown * 3 < expected.calls.length) faults.push(`${name} shows ${shown} of ${expected.calls.length} functions`);
    await tab.screenshot({ path: path.join(folder, `${name}.png`) });
    await tab.close();
  }
  if (faults.length) fail(faults.join("; "));
};

(async () => {
  checkProfile();
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
  const slices = await checkTimeline(browser, "timeline.json", 1) + await checkTimeline(browser, "timelines.json", 3);
  await checkPages(browser);
  await browser.close();
  console.log(`${path.basename(folder)}: speedscope's schema, ${slices} slices in Perfetto, four pages in Chromium`);
})().catch((error) => { console.error(error); process.exit(1); });
