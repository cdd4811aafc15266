"""Scrapes a store with a real Prometheus and compares what Prometheus knows with what the store says.

The store sees a program that ends, one that is killed, one that starts anew, and the retention that deletes the first ones.
No counter may fall in all that time, and no call may be missing. A server of a few lines answers each scrape with what
`monitor export prometheus` prints.
"""

import http.server
import json
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

WAIT_S = 240
MONITOR = sys.argv[1]
PROTOBUF = "application/vnd.google.protobuf"


def fail(text):
    sys.exit(f"tests/prometheus: {text}")


def wait_for(what, check):
    """Waits until `check` returns something true, and returns it."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = check()
        if found:
            return found
        time.sleep(0.2)
    fail(f"waited {WAIT_S} s for {what}")


def export(store, form):
    command = [MONITOR, "export", "prometheus", "--form", form, "--per-process", "--db", str(store)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def serve(store):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if not store.exists():
                self.send_error(503)
                return
            is_native = PROTOBUF in self.headers.get("Accept", "") and self.path == "/native"
            body = export(store, "protobuf" if is_native else "openmetrics")
            self.send_response(200)
            native = f"{PROTOBUF}; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            text = "application/openmetrics-text; version=1.0.0; charset=utf-8"
            self.send_header("Content-Type", native if is_native else text)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                # A busy machine may answer too late. Prometheus then asks again.
                pass

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def start_prometheus(folder, port):
    config = folder / "prometheus.yml"
    jobs = "".join(
        f"  - job_name: {job}\n    metrics_path: /{job}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        for job in ["classic", "native"]
    )
    config.write_text(f"global: {{scrape_interval: 5s, scrape_timeout: 5s}}\nscrape_configs:\n{jobs}")
    log = (folder / "log").open("w")
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0", "--enable-feature=native-histograms,exemplar-storage",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=log, stderr=log)

    def listening():
        if process.poll() is not None:
            fail(f"prometheus ended: {(folder / 'log').read_text()}")
        ports = re.findall(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', (folder / "log").read_text())
        return [int(port) for port in ports if port != "0"]

    return process, wait_for("prometheus", listening)[0]


def query(port, text):
    """Returns the values of an instant query by function."""
    address = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
    try:
        answer = json.load(urllib.request.urlopen(address, timeout=60))
    except OSError:
        return {}
    return {row["metric"].get("function", ""): float(row["value"][1]) for row in answer["data"]["result"]}


def count(store):
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60)
    rows = connection.execute("SELECT function, sum(calls) FROM functions GROUP BY function").fetchall()
    connection.close()
    return dict(rows)


def demo(store, seconds):
    command = [MONITOR, "demo", "--seconds", str(seconds), "--db", str(store)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def expect_scraped(port, store, what):
    """Waits until Prometheus has every call that the store counts."""
    wanted = count(store)

    def scraped():
        jobs = [query(port, f'sum by (function) (monitored_calls_total{{job="{job}"}})') for job in ["classic", "native"]]
        return all(job == wanted for job in jobs)

    wait_for(f"{what}: {wanted} scraped", scraped)
    print(f"{what}: {sum(wanted.values())} calls of {len(wanted)} functions")


def run(store, port):
    process = demo(store, 4)
    if process.wait(WAIT_S) != 0:
        fail("the demo failed")
    expect_scraped(port, store, "after a program that ended")

    process = demo(store, 600)
    before = sum(count(store).values())
    wait_for("calls of the second program", lambda: sum(count(store).values()) > before + 1000)
    process.send_signal(signal.SIGKILL)
    process.wait(WAIT_S)
    # The export recovers what the ring file holds.
    export(store, "text")
    expect_scraped(port, store, "after a program that was killed")

    process = demo(store, 600)
    before = sum(count(store).values())
    wait_for("calls of the third program", lambda: sum(count(store).values()) > before + 1000)
    # Retention deletes a process seven hours after its end; these ended long ago from now on.
    connection = sqlite3.connect(store, timeout=60)
    with connection:
        ended = "SELECT id FROM process WHERE ending <> 'running'"
        connection.execute(f"UPDATE progress SET at_ns = 1 WHERE process_id IN ({ended})")
        connection.execute("UPDATE process SET ended_ns = 1, started_ns = 1 WHERE ending <> 'running'")
    processes = "SELECT count(*) FROM process"
    wait_for("retention", lambda: connection.execute(processes).fetchone()[0] == 1)
    process.send_signal(signal.SIGINT)
    process.wait(WAIT_S)
    export(store, "text")
    if connection.execute("SELECT count(*) FROM past_total").fetchone()[0] == 0:
        fail("retention kept no totals")
    connection.close()
    expect_scraped(port, store, "after retention")


def check_values(port, store):
    for metric in ["monitored_calls_total", "monitored_call_duration_seconds_count", "monitored_call_busy_seconds_total"]:
        fallen = {name: times for name, times in query(port, f"sum by (function) (resets({metric}[1h]))").items() if times}
        if fallen:
            fail(f"{metric} fell: {fallen}")
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    rows = connection.execute("SELECT function, p95_ms FROM functions WHERE calls > 100").fetchall()
    connection.close()
    # A classic bucket is as wide as a factor of 1.41, within which Prometheus interpolates. A native one is as wide as 1.09,
    # and its bounds are 1.6 % low.
    for text, error in [
        ('histogram_quantile(0.95, monitored_call_duration_seconds_bucket{job="classic"})', 1.42),
        ('histogram_quantile(0.95, monitored_call_duration_seconds{job="native"})', 1.12),
    ]:
        known = query(port, text)
        for function, p95_ms in rows:
            found = known.get(function, 0) * 1000
            if not p95_ms / error <= found <= p95_ms * error:
                fail(f"{text}: {function} has {found} ms, and {p95_ms} ms in the store")
    print(f"p95 of {len(rows)} functions within a bucket of the store's, classic and native; no counter fell")


def main():
    # A shell that runs this in the background ignores the signal, and so would the demo.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        store = folder / "shop.db"
        prometheus, port = start_prometheus(folder, serve(store))
        try:
            run(store, port)
            check_values(port, store)
        finally:
            prometheus.kill()
            prometheus.wait()
        metrics = export(store, "text")
        checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True)
        if checked.returncode != 0 or checked.stderr or checked.stdout:
            fail(f"promtool: {checked.stdout.decode()}{checked.stderr.decode()}")
        print("promtool has nothing to complain of")


main()
