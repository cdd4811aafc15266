"""Writes every export of a store into a folder, and compares those of rows, and folded stacks, with the store.

Usage: read.py MONITOR STORE FOLDER

DuckDB reads CSV, JSON lines, Parquet and the copy of the store; inferno draws the folded stacks. `expected.json` holds
what open.cjs compares the others with. The first difference ends the run with exit code 1.
"""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys

import duckdb
import duckdb_extension_sqlite_scanner

# Views whose rows come from the memory of running processes or differ between two readings.
LIVING = {"in_flight"}
# Columns of which DuckDB makes moments; it keeps microseconds of them.
MOMENT = "TIMESTAMP WITH TIME ZONE"


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


class Exports:
    def __init__(self, monitor, store, folder):
        self.monitor, self.store, self.folder = monitor, store, folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def run(self, *arguments, store=None):
        command = [self.monitor, *arguments, "--db", str(store or self.store)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            fail(f"{arguments}: {done.stderr}")
        return done.stdout

    def export(self, form, *arguments, name):
        path = self.folder / name
        self.run("export", form, *arguments, "--output", str(path))
        return path

    def sql(self, statement):
        return json.loads(self.run("sql", "--format", "json", statement))


def check_views(exports):
    """Compares the rows of every view in four forms."""
    copy = exports.folder / "copy.db"
    exports.run("export", "sqlite", str(copy))
    # Python's SQLite may be older than some functions in the rules of tables, so the check is the console's.
    checked = json.loads(exports.run("sql", "--format", "json", "SELECT * FROM pragma_integrity_check", store=copy))
    if [list(row.values()) for row in checked] != [["ok"]]:
        fail(f"the copy is damaged: {checked}")
    store = sqlite3.connect(copy)
    duck = duckdb.connect()
    (extension,) = pathlib.Path(duckdb_extension_sqlite_scanner.__file__).parent.rglob("*.duckdb_extension")
    duck.execute(f"LOAD '{extension}'")
    duck.execute(f"ATTACH '{copy}' AS copy (TYPE sqlite, READ_ONLY)")
    views = [row[0] for row in store.execute("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")]
    total = 0
    for view in views:
        if view in LIVING:
            continue
        forms = {form: exports.export(form, view, name=f"{view}.{form}") for form in ("csv", "jsonl", "parquet")}
        raw = exports.export("csv", view, "--raw", name=f"{view}.raw.csv")
        expected = store.execute(f'SELECT * FROM "{view}"').fetchall()
        names = [row[1] for row in store.execute(f'PRAGMA table_info("{view}")')]
        total += len(expected)
        compare_parquet(duck, view, names, expected, forms["parquet"])
        compare_csv(duck, view, names, expected, raw)
        compare_jsonl(duck, view, names, expected, forms["jsonl"])
        # DuckDB counts by row ids, which some tables lack.
        rows = len(duck.execute(f'SELECT * FROM copy."{view}"').fetchall())
        if rows != len(expected):
            fail(f"{view}: DuckDB reads {rows} rows of the copy, not {len(expected)}")
    return len(views), total


def compare_parquet(duck, view, names, expected, path):
    described = duck.execute(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
    types = {row[0]: row[1] for row in described}
    if list(types) != names:
        fail(f"{view}: Parquet has the columns {list(types)}, not {names}")
    for name, found in types.items():
        values = [row[names.index(name)] for row in expected]
        wanted = {
            int: {"BIGINT", "DOUBLE", MOMENT},
            float: {"DOUBLE"},
            str: {"VARCHAR"},
            bytes: {"BLOB"},
        }
        for value in values:
            if value is not None and found not in wanted[type(value)]:
                fail(f"{view}.{name}: Parquet says {found}, but the store holds {value!r}")
    columns = [f'epoch_us("{name}") AS "{name}"' if types[name] == MOMENT else f'"{name}"' for name in names]
    rows = duck.execute(f"SELECT {', '.join(columns)} FROM '{path}'").fetchall()
    moments = [types[name] == MOMENT for name in names]
    expected = [
        tuple(value // 1000 if moment and value is not None else value for value, moment in zip(row, moments))
        for row in expected
    ]
    compare(view, "Parquet", names, expected, rows)
    # The file itself keeps nanoseconds.
    for name, in_moments in zip(names, moments):
        if in_moments:
            (logical,) = duck.execute(
                f"SELECT logical_type FROM parquet_schema('{path}') WHERE name = ?", [name]
            ).fetchone()
            if "NANO" not in logical.upper():
                fail(f"{view}.{name}: {logical}")


def check_partitions(exports):
    """Compares the calls of each hour and of each day, in a file each, with the store."""
    duck = duckdb.connect()
    hour = "strftime('%H', start_ns / 1000000000, 'unixepoch') AS hour"
    for by, names, computed in (("hour", "date, hour", f", {hour}"), ("day", "date", "")):
        folder = exports.export("parquet", "calls", "--by", by, name=f"calls by {by}")
        files = f"read_parquet('{folder}/**/calls.parquet', hive_partitioning = true, hive_types_autocast = false)"
        read = f"SELECT {names}, count(*), sum(call_id)::BIGINT FROM {files} GROUP BY {names} ORDER BY {names}"
        found = [(str(row[0]), *row[1:]) for row in duck.execute(read).fetchall()]
        stored = f"SELECT date(start_ns / 1000000000, 'unixepoch') AS date{computed}, call_id FROM calls"
        grouped = f"SELECT {names}, count(*), sum(call_id) FROM ({stored}) GROUP BY {names} ORDER BY {names}"
        expected = [tuple(row.values()) for row in exports.sql(grouped)]
        if found != expected:
            fail(f"by {by}: DuckDB reads {found}, the store has {expected}")


def compare_csv(duck, view, names, expected, path):
    options = "all_varchar = true, header = true, quote = '\"', escape = '\"', delim = ',', max_line_size = 33554432"
    rows = duck.execute(f"SELECT * FROM read_csv('{path}', {options}, strict_mode = true)").fetchall()
    if len(rows) != len(expected):
        fail(f"{view}: CSV has {len(rows)} rows, not {len(expected)}")
    for row, wanted in zip(rows, expected):
        for text, value, name in zip(row, wanted, names):
            if value is None or value == "":
                same = text in (None, "")
            elif isinstance(value, str):
                same = text == value or has_control(value)
            else:
                same = float(text) == float(value) and (isinstance(value, float) or int(text) == value)
            if not same:
                fail(f"{view}.{name}: CSV says {text!r}, the store {value!r}")


def has_control(text):
    """Returns true for texts of which CSV shows characters that act on a terminal in another way."""
    return any(not character.isprintable() for character in text)


def compare_jsonl(duck, view, names, expected, path):
    if not expected:
        return
    # Types are left to the reader, as a user would leave them. Integers above 2^53 stay exact.
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    compare(view, "JSON lines", names, expected, [tuple(row[name] for name in names) for row in rows])
    (count,) = duck.execute(
        f"SELECT count(*) FROM read_json('{path}', format = 'newline_delimited', maximum_object_size = 33554432)"
    ).fetchone()
    if count != len(expected):
        fail(f"{view}: DuckDB reads {count} JSON lines, not {len(expected)}")


def compare(view, form, names, expected, rows):
    if len(rows) != len(expected):
        fail(f"{view}: {form} has {len(rows)} rows, not {len(expected)}")
    for row, wanted in zip(rows, expected):
        for found, value, name in zip(row, wanted, names):
            if found != value:
                fail(f"{view}.{name}: {form} says {found!r}, the store {value!r}")


def check_folded(exports):
    """Lets inferno draw the stacks, and returns their weight by kind."""
    weights = {}
    for kind in ("self", "calls", "failures"):
        path = exports.export("folded", "--by", kind, name=f"{kind}.folded")
        lines = path.read_text().splitlines()
        weights[kind] = sum(int(line.rsplit(" ", 1)[1]) for line in lines)
        if not lines:
            fail(f"{path} is empty")
        done = subprocess.run([os.environ["INFERNO"], str(path)], capture_output=True, text=True)
        if done.returncode != 0 or done.stderr.strip():
            fail(f"inferno: {done.stderr}")
        (exports.folder / f"{kind}.svg").write_text(done.stdout)
        (drawn,) = re.findall(r"<title>all \(([0-9,]+) samples, 100%\)</title>", done.stdout)
        if int(drawn.replace(",", "")) != weights[kind]:
            fail(f"inferno draws {drawn} of {weights[kind]} ({kind})")
    return weights


def main():
    monitor, store, folder = sys.argv[1:]
    exports = Exports(monitor, store, pathlib.Path(folder))
    views, rows = check_views(exports)
    check_partitions(exports)
    weights = check_folded(exports)
    exports.export("speedscope", name="profile.speedscope.json")
    exports.export("perfetto", name="timeline.json")
    # Three stores whose runs have equal numbers.
    copies = [exports.folder / "copy.db", exports.folder / "copy-2.db"]
    shutil.copy(*copies)
    exports.export("perfetto", *[text for copy in copies for text in ("--db", str(copy))], name="timelines.json")
    exports.export("report", name="report.html")
    exports.export("report", "--values", name="report-values.html")
    exports.run("flame", "--html", str(exports.folder / "flame.html"))
    calls = exports.sql("SELECT function, count(*) AS calls, sum(duration_ns * coalesce(folded, 1)) AS ns FROM calls GROUP BY function")
    expected = {"weights": weights, "calls": calls}
    (exports.folder / "expected.json").write_text(json.dumps(expected))
    print(f"{exports.folder.name}: {views} views with {rows} rows as CSV, JSON lines and Parquet, and in a copy; folded stacks")


main()
