#!/usr/bin/env python3
"""Makes the hostile corpus beside it: stores that are none, or worse, and strings that act on terminals.

The same files come out each time. Run it after a change here and commit what it makes.
"""
import json
import pathlib
import sqlite3

HERE = pathlib.Path(__file__).parent
STORES = HERE / "stores"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj\r\x7f\u2066"
APPLICATION_ID = 0x4D4E5452

VIEWS = [
    "calls", "errors", "error_groups", "functions", "latency", "slow_calls", "processes", "events", "health",
    "resources", "calls_readable",
]


def store(name, *statements, application_id=APPLICATION_ID, version=1, page_size=512):
    path = STORES / name
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size = {page_size}")
    database.execute(f"PRAGMA application_id = {application_id}")
    database.execute(f"PRAGMA user_version = {version}")
    for statement in statements:
        database.execute(statement)
    database.close()
    return path


def rewrite(path, change):
    path.write_bytes(bytes(change(bytearray(path.read_bytes()))))


def put(at, *values):
    def change(data):
        data[at:at + len(values)] = bytes(values)
        return data
    return change


def main():
    STORES.mkdir(exist_ok=True)
    for old in STORES.iterdir():
        old.unlink()
    quoted = '"' + ESCAPES.replace('"', '""') + '"'

    # Views that never end, or take all memory, under every name that is queried.
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x AS a FROM n"
    store("views_endless.db", *(f"CREATE VIEW {view} AS {endless}" for view in VIEWS))
    store("views_of_themselves.db", *(f"CREATE VIEW {view} AS SELECT * FROM {view}2" for view in VIEWS),
          *(f"CREATE VIEW {view}2 AS SELECT * FROM {view}" for view in VIEWS))
    store("views_large.db", *(f"CREATE VIEW {view} AS SELECT zeroblob(900000000) AS a, hex(zeroblob(400000000)) AS b"
                              for view in VIEWS))
    store("views_with_functions.db",
          *(f"CREATE VIEW {view} AS SELECT load_extension('/tmp/owned') AS a, writefile('/tmp/owned', 'x') AS b"
            for view in VIEWS))
    store("names_that_act.db", *(f"CREATE VIEW {view} AS SELECT 1 AS {quoted}" for view in VIEWS),
          f"CREATE TABLE {quoted} ({quoted} TEXT)")

    # Triggers on what is written from outside.
    heavy = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000000) SELECT count(*) FROM n"
    store("triggers.db",
          "CREATE TABLE sampling (pattern TEXT PRIMARY KEY, rate REAL, set_ns INTEGER, set_by TEXT)",
          "CREATE TABLE breaker (process_id INTEGER PRIMARY KEY, hold TEXT, reason TEXT, set_ns INTEGER, set_by TEXT)",
          "CREATE TABLE owned (x)",
          f"CREATE TRIGGER a AFTER INSERT ON sampling BEGIN INSERT INTO owned {heavy}; END",
          f"CREATE TRIGGER b AFTER INSERT ON breaker BEGIN INSERT INTO owned {heavy}; END")

    # The names of our tables with other columns, types and values.
    store("wrong_types.db",
          "CREATE TABLE process (id, run_uuid, service, version, host, pid, pid_mark, started_ns, ended_ns, ending)",
          "INSERT INTO process VALUES (x'ff00', 9e999, -1, x'80', NULL, 'pid', 3.5, 'then', x'', 'running')",
          "CREATE VIEW processes AS SELECT * FROM process",
          "CREATE TABLE call (id)", "INSERT INTO call VALUES (-9223372036854775808), (9223372036854775807)",
          "CREATE VIEW calls AS SELECT id AS call_id, x'c328' AS function, 'x' AS start_ns FROM call")
    store("generated_columns.db",
          "CREATE TABLE sampling (pattern TEXT PRIMARY KEY, rate REAL, set_ns INTEGER, "
          "set_by TEXT GENERATED ALWAYS AS (printf('%.*c', 100000000, 'x')))")

    # Of other programs and other times.
    store("foreign.db", "CREATE TABLE theirs (x)", application_id=7)
    store("newer.db", "CREATE TABLE later (x)", version=2_000_000_000)
    store("older_than_any.db", "CREATE TABLE call (id)", version=-2_147_483_648)
    store("nothing_in_it.db", version=1)

    # Damaged where it hurts.
    table = ("CREATE TABLE call (id INTEGER PRIMARY KEY, x TEXT)",
             "INSERT INTO call VALUES " + ", ".join(f"({n}, '{'x' * 60}')" for n in range(60)))
    rewrite(store("page_size_zero.db", *table), put(16, 0, 0))
    rewrite(store("page_size_odd.db", *table), put(16, 3, 7))
    rewrite(store("reserved_all.db", *table), put(20, 255))
    rewrite(store("freelist_cycle.db", *table), put(32, 0, 0, 0, 2, 0, 0, 0, 9))
    rewrite(store("root_of_itself.db", *table), put(512, 5, 0, 0, 0, 1, 0, 12, 0, 0, 0, 0, 2))
    rewrite(store("cells_beyond.db", *table), put(515, 255, 255, 255, 255))
    rewrite(store("schema_text_lies.db", *table), lambda data: data.replace(b"CREATE TABLE call", b"CREATE TABLE cal("))
    rewrite(store("cut_short.db", *table), lambda data: data[:777])
    rewrite(store("header_only.db", *table), lambda data: data[:100])
    rewrite(store("wal_mode_without_log.db", *table), put(18, 2, 2))
    rewrite(store("future_file_format.db", *table), put(18, 9, 9))
    (STORES / "empty.db").write_bytes(b"")
    (STORES / "zeros.db").write_bytes(bytes(4096))
    (STORES / "text.db").write_bytes(b"SQLite format 3, or so they say\n" * 20)

    strings = [
        ESCAPES, "\x1b]52;c;b3duZWQ=\x07", "\x1b[?1049h", "\x1bP+q544e\x1b\\", "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
        "\u202e\u2066\u2069\u200f\u061c", "\ufeff\u200b\u2028\u2029", "\x00\x01\x02", "a\rb", "a\nb\nc", "a\tb", "\x85\x9f",
        "".join(chr(code) for code in range(0x20)), "".join(chr(code) for code in range(0x7F, 0xA0)),
        "\U000e0041\U000e007f", "\ufff9x\ufffb", "%s%n%x", "'; DROP TABLE call; --", "=cmd|' /C calc'!A0", "x" * 5000,
        "e\u0301" * 300, "\U0001F468\u200d\U0001F469\u200d\U0001F467", "NaN", "null", "{\"a\":", "\\u001b[2J", "\ud7ff\ue000",
    ]
    lines = [json.dumps(text, ensure_ascii=True) for text in strings]
    (HERE / "strings.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
