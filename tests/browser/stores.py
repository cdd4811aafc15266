"""Turns the copy of a recorded store into one that a page has to bear: `empty` has no rows but the rules and the
documentation that each store brings, `hostile` has texts in every column that try to act on a browser or on a reader.

Usage: stores.py empty|hostile FILE
"""

import sqlite3
import sys

# Tables whose rows come with the schema.
KEPT = {"schema_doc", "alert_rule"}
# Texts by which the store finds its own rows.
KEYS = {("calendar", "date"), ("process", "run_uuid"), ("process", "ending"), ("process", "pid_mark")}

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)' style='position:fixed;inset:0'",
    "</title></textarea></style><svg onload=alert(1)>",
    "javascript:alert(1)//https://evil.example/",
    "{\"__proto__\":{\"x\":1},\"a\":\"<b>\",\"password\":[[[[[[]]]]]]}",
    "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "\u202egpj.exe\u2066\u200b\u2069 and \ufeff",
    "a\0b\r\nSet-Cookie: x=1\r\n\r\n",
    "%2e%2e%2f..%5c?q=*&t=0#fragment;{{7*7}}${7*7}",
    "Ω≈ç√∫˜µ≤≥÷ 田中さん 👩‍👩‍👧‍👦 Z̸̢̛͚͍a̷l̶g̸o̷",
    "word" * 400,
    "shop::orders::" * 30 + "place",
    "",
]
LONG = "<i>" + "x " * 500_000


def texts(db):
    """Yields the names of the tables and of their columns that hold texts."""
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall()
    for (table,) in tables:
        if table not in KEPT:
            yield table, [row[1] for row in db.execute(f'PRAGMA table_info("{table}")') if row[2] == "TEXT"]


def make_empty(db):
    for table, _ in texts(db):
        db.execute(f'DELETE FROM "{table}"')


def make_hostile(db):
    # A store that was tampered with has values that the schema forbids.
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.create_function("hostile", 2, lambda at, text: HOSTILE[at % len(HOSTILE)] + ("" if text is None else f" {at}"))
    for table, columns in texts(db):
        for number, column in enumerate(columns):
            if (table, column) in KEYS:
                continue
            where = f'WHERE "{column}" IS NOT NULL'
            has_rowid = not db.execute("SELECT wr FROM pragma_table_list(?)", [table]).fetchone()[0]
            at = f"rowid + {number}" if has_rowid else f"abs(random() % 1000000) + {number}"
            db.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = hostile({at}, "{column}") {where}')
    db.execute("UPDATE call_value SET args = ? WHERE rowid = (SELECT max(rowid) FROM call_value)", [LONG])
    db.execute("UPDATE process SET ending = 'neither' WHERE rowid = (SELECT max(rowid) FROM process)")


def main():
    kind, path = sys.argv[1:]
    # Triggers of the schema would fill tables that are being emptied.
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN")
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        db.execute(f'DROP TRIGGER "{name}"')
    {"empty": make_empty, "hostile": make_hostile}[kind](db)
    db.execute("COMMIT")


main()
