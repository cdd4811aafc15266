"""Runs the program given as argument and reads every view of its store with three tools, while the program records
and again afterwards. Compares their answers: types, column names, and every single value.

Prints a line per view. The first difference ends the run with exit code 1.
"""

import http.client
import json
import math
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse

import duckdb
import duckdb_extension_sqlite_scanner

WAIT_S = 120

# The columns by type. All others hold text.
INTEGERS = {
    "call_id", "line", "failed", "trace_id", "span_id", "parent_id", "pid", "process_id", "fingerprint", "count",
    "example_call_id", "calls", "errors", "panics", "cancelled", "recorded", "dropped", "dropped_ring_full",
    "dropped_backlog", "dropped_no_ring", "dropped_store", "folded_errors", "writer_errors", "rows_written",
    "bytes_written", "db_bytes", "wal_bytes", "rss_bytes", "threads", "open_files", "estimated",
    "dropped_passed", "memory_bytes", "breaker_openings", "write_retries", "write_retries_per_min", "duplicates_avoided",
    "folded", "origin", "caused_by", "thread_id", "window", "roots", "origin_count", "root_count",
    "failures", "rejected", "fallbacks_value", "fallbacks_cached", "fallbacks_function", "probes", "openings",
    "retries", "retried_ok",
    "alert_id", "change", "processes", "most_per_parent", "metric_id",
    "log_id", "lines", "dropped_logs", "open_spans",
}  # fmt: skip
REALS = {
    "weight", "error_pct", "sample_rate", "own_cpu_pct", "cpu_pct", "overhead_ns_per_call", "cost_pct", "budget_pct",
    "fixed_pct", "saved_pct",
    "failed_weight", "parents", "calls_per_parent",
    "latest", "sum", "min", "max", "p50", "p95", "p99",
    "asked", "rate", "value", "peak", "ns_per_call", "writes_ok_pct", "writes_blocked_pct",
}  # fmt: skip

CALL = (
    "call_id start_ns start_s duration_ns duration_ms busy_ns function outcome failed error args result fields "
    "weight kept trace_id span_id parent_id thread service file line group_name host pid process_id "
    "folded origin caused_by thread_id"
)
VIEWS = {
    "calls": CALL,
    "errors": CALL,
    "error_groups": "fingerprint function outcome message count first_ns last_ns example_call_id "
    "error_type origin_count root_count path",
    "functions": "function file line group_name calls errors panics cancelled error_pct recorded dropped total_ms "
    "mean_ms p50_ms p95_ms p99_ms max_ms sample_rate estimated self_ms busy_ms cancelled_ms roots",
    "edges": "caller callee weight failed_weight total_ms parents calls_per_parent most_per_parent",
    "histogram": "function slice_start_ns process_id lower_ms upper_ms count",
    "latency": "function start_ns start_s calls errors total_ms p50_ms p95_ms p99_ms max_ms estimated "
    "self_ms busy_ms cancelled_ms window",
    "totals": "process_id service function since_ns calls errors panics cancelled dropped roots total_ms self_ms busy_ms "
    "nested_ms cancelled_ms max_ms estimated",
    "alerts": "alert_id change process_id service rule function level state since_ns until_ns value peak sentence processes",
    "slow_calls": CALL,
    "processes": "process_id run_uuid service version host pid started_ns last_seen_ns ended_ns ending "
    "executable program_version build",
    "events": "at_ns process_id kind detail",
    "health": "process_id at_ns level recorded dropped_ring_full dropped_backlog dropped_no_ring dropped_store "
    "folded_errors breaker writer_errors rows_written bytes_written db_bytes wal_bytes own_cpu_pct "
    "overhead_ns_per_call breaker_since_ns breaker_held breaker_openings breaker_next_try_ns last_failure "
    "writes_ok_pct writes_blocked_pct write_retries write_retries_per_min duplicates_avoided cost_pct budget_pct "
    "fixed_pct saved_pct off dropped_passed memory_bytes memory_parts memory_refused dropped_logs open_spans",
    "rates": "process_id function at_ns asked rate fidelity calls_per_s rows_per_s ns_per_call cpu_pct saved_pct "
    "budget_pct why",
    "resources": "process_id at_ns cpu_pct rss_bytes threads open_files",
    "guards": "process_id name at_ns state since_ns level calls failures rejected fallbacks_value fallbacks_cached "
    "fallbacks_function probes openings retries retried_ok held last_failure",
    "metrics": "metric_id name kind unit description tags first_ns last_ns latest rate count sum",
    "metric_history": "metric_id name kind tags process_id start_ns start_s value rate count sum min max p50 p95 p99 window",
    "logs": "log_id at_ns at_s level target body fields lines function call_id span_id trace_id service process_id "
    "file line",
    "calls_readable": CALL + " started_at",
}


def expected_type(column):
    if column in INTEGERS or column.endswith("_ns"):
        return int
    if column in REALS or column.endswith(("_ms", "_s")):
        return float
    return str


class Shell:
    """The sqlite3 shell."""

    name = "sqlite3"

    def __init__(self, store):
        self.store = store

    def rows(self, sql):
        command = ["sqlite3", "-readonly", "-json", "-cmd", ".timeout 60000", str(self.store), sql]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return json.loads(text) if text.strip() else []

    def close(self):
        pass


class Datasette:
    """Datasette's server, which answers in JSON through a Unix socket."""

    name = "datasette"

    def __init__(self, store):
        self.database = store.stem
        self.socket = store.with_suffix(".sock")
        settings = [["max_returned_rows", "1000000"], ["sql_time_limit_ms", "60000"]]
        options = [word for setting in settings for word in ["--setting", *setting]]
        command = [sys.executable, "-m", "datasette", "serve", str(store), "--uds", str(self.socket), *options]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for("Datasette's server", self.answers)

    def answers(self):
        if self.server.poll() is not None:
            fail(f"Datasette ended: {self.server.stderr.read()}")
        try:
            return self.ask("/-/versions.json")
        except OSError:
            return None

    def ask(self, path):
        connection = http.client.HTTPConnection("localhost", timeout=WAIT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            fail(f"Datasette answers {answer.status} to {path}: {text[:500]!r}")
        return json.loads(text)

    def rows(self, sql):
        query = urllib.parse.urlencode({"sql": sql, "_shape": "array"})
        return self.ask(f"/{self.database}.json?{query}")

    def shows(self, view):
        """Returns the rows of a view's page, as a visitor of the site sees them."""
        return self.ask(f"/{self.database}/{view}.json?_shape=array&_size=5")

    def close(self):
        self.server.terminate()
        self.server.wait()


class Duck:
    """DuckDB, attached to the file read-only."""

    name = "duckdb"

    TYPES = {"BIGINT": int, "INTEGER": int, "DOUBLE": float, "VARCHAR": str}

    def __init__(self, store):
        folder = pathlib.Path(duckdb_extension_sqlite_scanner.__file__).parent
        (extension,) = folder.rglob("sqlite_scanner.duckdb_extension")
        self.connection = duckdb.connect()
        self.connection.execute(f"LOAD '{extension}'")
        self.connection.execute(f"ATTACH '{store}' AS store (TYPE sqlite, READ_ONLY)")
        self.connection.execute("USE store")

    def rows(self, sql):
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]

    def types(self, view):
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {view}").fetchall()
        return {name: self.TYPES.get(kind, kind) for name, kind, *_ in described}

    def close(self):
        self.connection.close()


def fail(text):
    print(f"FAILED: {text}", file=sys.stderr)
    sys.exit(1)


def wait_for(what, ready):
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if result := ready():
            return result
        time.sleep(0.02)
    return fail(f"{what} did not come within {WAIT_S} s")


def check_values(reader, view, rows):
    """Compares the names and types of the columns with those of the documentation."""
    columns = VIEWS[view].split()
    for row in rows:
        if list(row) != columns:
            fail(f"{reader.name}: {view} has the columns {list(row)}, not {columns}")
        for column, value in row.items():
            if value is not None and type(value) is not expected_type(column):
                fail(f"{reader.name}: {view}.{column} is {value!r}, not of type {expected_type(column).__name__}")


def check_same(view, one, other, these, those):
    if len(these) != len(those):
        fail(f"{view}: {one.name} has {len(these)} rows and {other.name} {len(those)}")
    for this, that in zip(these, those):
        for column, value in this.items():
            same = value == that[column]
            if isinstance(value, float) and isinstance(that[column], float):
                # The shell prints 15 digits, and the sum of reals depends on their order.
                same = math.isclose(value, that[column], rel_tol=1e-9)
            if not same:
                fail(f"{view}.{column}: {one.name} says {value!r} and {other.name} {that[column]!r}")


def order(view):
    key = {"error_groups": "fingerprint", "functions": "function", "latency": "function, start_ns", "totals": "process_id, function",
           "metric_history": "metric_id, process_id, start_ns"}
    by_call = {"calls", "errors", "slow_calls", "calls_readable"}
    return key.get(view) or ("call_id" if view in by_call else ", ".join(VIEWS[view].split()[:4]))


def tune(store):
    """Sets the rate of a function that is never called, because that writes an event."""
    connection = sqlite3.connect(store, timeout=60)
    with connection:
        connection.execute("INSERT INTO sampling (pattern, rate) VALUES ('nobody::calls_this', 0.5)")
    connection.close()


def read_while_recording(readers):
    """Reads every view with every reader. Rows that no longer change must be the same in all of them."""
    shell, datasette, duck = readers
    settled = shell.rows("SELECT MAX(call_id) AS id FROM calls")[0]["id"]
    for view in VIEWS:
        count = {}
        for reader in readers:
            rows = reader.rows(f"SELECT * FROM {view} ORDER BY {order(view)} LIMIT 1000")
            check_values(reader, view, rows)
            count[reader.name] = len(rows)
            if not rows:
                fail(f"{reader.name}: {view} is empty")
        check_values(datasette, view, datasette.shows(view))
        for column, kind in duck.types(view).items():
            if kind is not expected_type(column):
                fail(f"duckdb: {view}.{column} is declared as {kind}")
        if "call_id" in VIEWS[view].split():
            sql = f"SELECT * FROM {view} WHERE call_id <= {settled} ORDER BY call_id"
            compare(view, sql, readers)
        print(f"while recording   {view:15} {count}")


def compare(view, sql, readers):
    answers = [reader.rows(sql) for reader in readers]
    for reader, answer in zip(readers[1:], answers[1:]):
        check_same(view, readers[0], reader, answers[0], answer)
    return answers[0]


def read_afterwards(readers, rounds):
    for view in VIEWS:
        rows = compare(view, f"SELECT * FROM {view} ORDER BY {order(view)}", readers)
        print(f"afterwards        {view:15} {len(rows)} rows, the same in all")
    made = {"root": 1, "branch": 1, "leaf": 2, "orders::parse": 2, "waiting::endless": 1}
    for reader in readers:
        calls = {row["function"]: row["calls"] for row in reader.rows("SELECT function, calls FROM functions")}
        for function, each in made.items():
            if calls[f"victim::{function}"] != each * rounds:
                fail(f"{reader.name}: {calls} after {rounds} rounds")


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder) / "store.db"
        environment = {"HOME": folder, "MONITOR_DB": str(store)}
        pipe = subprocess.PIPE
        command = [program, "service-until-stopped"]
        recording = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        readers = []
        try:
            if recording.stdout.readline() != "Ok(())\n":
                fail("the program could not record")
            # The readers are made one after the other, so that a failure of the second does not leave the first
            # running.
            for reader in (Shell, Datasette, Duck):
                readers.append(reader(store))
            tune(store)
            for view in VIEWS:
                wait_for(f"the first row of {view}", lambda: readers[0].rows(f"SELECT * FROM {view} LIMIT 1"))
            read_while_recording(readers)
            if recording.poll() is not None:
                fail("the program had ended before everything was read")
            recording.stdin.close()
            rounds = int(recording.stdout.readline())
            if recording.wait() != 0:
                fail(f"the program ended with {recording.returncode}")
            read_afterwards(readers, rounds)
        finally:
            for reader in readers:
                reader.close()
            recording.kill()
    print("sqlite3, Datasette and DuckDB agree")


main()
