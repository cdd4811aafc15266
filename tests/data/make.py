#!/usr/bin/env python3
"""Makes the hostile corpus in this folder: stores and ring files that are damaged or malicious, and strings that act
on terminals.

Each run makes the same files. Run it after a change here and commit the files.
"""
import json
import pathlib
import sqlite3
import struct

HERE = pathlib.Path(__file__).parent
STORES = HERE / "stores"
RINGS = HERE / "rings"
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


# A ring file, as docs/record-format.md draws it: words of 64 bits, a head page of 512 of them, then blocks.
PAGE = 512
RING, JOURNAL, SITES, THREADS, LEDGER, FLIGHTS = range(1, 7)
SCRATCH, FLIGHT_VALUES = 8, 9
VERSION = 3
LARGEST = 2**64 - 1
ALIVE_NS = 1_700_000_000_000_000_000
# The place of the store's path: a word with the length, then the bytes. A test writes its own path there.
STORE_ASKED = 144


def text(words, at, value):
    value = value.encode()
    words[at] = len(value)
    for place in range(0, len(value), 8):
        words[at + 1 + place // 8] = int.from_bytes(value[place:place + 8], "little")


def block(kind, content, number=1, filled=None, length=None):
    words = [kind | number << 32, 0, 8 + len(content) if filled is None else filled, 0, 0, 0, 0, 0] + content
    words += [0] * (-len(words) % PAGE)
    words[1] = len(words) * 8 if length is None else length
    return words


def call(span, site=1, length=8, start=1_000_000, duration=500, weight=0x3F800000):
    return [length | site << 32, start, duration, span, 0, span, weight, 0]


def site(name, number=1, told=None, lists=("0", "0")):
    texts = b"".join(struct.pack("<H", len(part.encode())) + part.encode() for part in (name, "src/a.rs", "") + lists)
    words = [int.from_bytes(texts[at:at + 8], "little") for at in range(0, len(texts), 8)]
    length = 4 + len(words) if told is None else told
    return [length & 0xFFFFFFFF | number << 32, 7, LARGEST, len(texts)] + words


def arguments(start, first, count, distance):
    return ((start ^ distance) << 26 | first << 12 | count) & LARGEST


def ring_block(records, capacity=512, head=0, tail=None, depth=0, frames=(), panic=()):
    control = [0] * PAGE
    control[8:11] = [1, 1, capacity]
    control[16:18] = [head + len(records) if tail is None else tail, depth]
    control[32] = head
    control[128:128 + len(frames)] = frames
    control[384:384 + len(panic)] = panic
    return block(RING, control[8:] + records + [0] * (512 - len(records)))


def ring_file(name, *blocks, cut=None, **changes):
    words = [0] * PAGE
    words[0] = int.from_bytes(b"MNTRRING", "little")
    words[1:6] = [VERSION, 0, 17, ALIVE_NS - 10**9, 1 << 16]
    words[6:10] = [0, 1, ALIVE_NS, LARGEST]
    words[12:15] = [1_000_000, ALIVE_NS, 1 << 32]
    for at, value in [(32, name), (40, "elsewhere/pid:[1]/17"), (64, "shop"), (96, "0.1.0"), (104, "here"),
                      (STORE_ASKED, "/nowhere/shop.db")]:
        text(words, at, value)
    for part in blocks:
        words += part
    words[2] = len(words) * 8
    for at, value in changes.items():
        words[int(at.lstrip("w"))] = value
    data = struct.pack(f"<{len(words)}Q", *words)
    (RINGS / name).write_bytes(data[:cut])


def rings():
    RINGS.mkdir(exist_ok=True)
    for old in RINGS.iterdir():
        old.unlink()
    known = block(SITES, site("shop::a"))
    three = call(1) + call(2) + call(3)
    ring_file("sound", known, ring_block(three))
    ring_file("of_another_version", known, ring_block(three), w1=LARGEST)
    ring_file("no_magic", known, ring_block(three), w0=0)
    ring_file("cut_in_a_block", known, ring_block(three), cut=6000)
    ring_file("cut_in_the_head", cut=777)
    ring_file("end_beyond_everything", known, ring_block(three), w2=LARGEST)
    ring_file("block_of_no_length", known, block(JOURNAL, three, length=0), ring_block(three))
    ring_file("block_of_all_length", block(JOURNAL, three, length=LARGEST - 4095), known)
    ring_file("filled_beyond_the_block", known, block(JOURNAL, [LARGEST, 0, 1] + three, filled=LARGEST))
    ring_file("journal_at_the_last_position", known, block(JOURNAL, [8 | 1 << 32, LARGEST - 3, 1] + call(1)))
    ring_file("journal_entries_again", known, *[block(JOURNAL, [24 | 1 << 32, 0, 1] + three) for _ in range(5)])
    ring_file("ring_of_all_capacity", known, ring_block(three, capacity=1 << 63))
    ring_file("ring_not_a_power_of_two", known, ring_block(three, capacity=511))
    ring_file("ring_head_past_its_tail", known, ring_block(three, head=LARGEST, tail=3))
    ring_file("ring_many_times_full", known, ring_block(three, tail=LARGEST))
    ring_file("ring_twice", known, ring_block(three), ring_block(three))
    ring_file("depth_without_end", known, ring_block(three, depth=0xFFFFFFFF, frames=[1, 1, 1, 0] * 64))
    ring_file("records_that_lie", known, ring_block(
        call(1, length=0) + call(2, length=0xFFFF) + call(3, weight=0x7FC00000) + [2 << 16] + call(4, start=LARGEST)))
    ring_file("times_of_another_age", known, ring_block(call(1, duration=LARGEST) + call(2, start=0)), w14=LARGEST)
    ring_file("figures_beyond_belief", known, *[block(LEDGER, ([1] + [LARGEST] * 9) * 4, number) for number in range(3)])
    ring_file("figures_at_the_bound", known, *[block(LEDGER, ([0] * 40) + ([1] + [1 << 60] * 9) * 4, 0)] * 40)
    ring_file("ledger_past_the_last_function", known, block(LEDGER, ([1] + [5] * 9) * 4, 0xFFFFFFFF))
    ring_file("site_of_no_length", block(SITES, site("shop::a", told=0) * 20), ring_block(three))
    ring_file("site_of_all_length", block(SITES, site("shop::a", told=0xFFFFFFFF)), ring_block(three))
    ring_file("lists_without_end", block(SITES, site("shop::a", lists=(str(2**63), str(2**63)))), ring_block(three))
    ring_file("names_that_act", block(SITES, site(ESCAPES)), ring_block(three))
    ring_file("threads_of_long_names", known, block(THREADS, [1 | 0xFFFFFFFF << 32] + [LARGEST] * 7), ring_block(three))
    ring_file("flights_of_nobody", known, block(FLIGHTS, [LARGEST] * 400))
    # The ring begins at word 1024, and the memory for its values behind the header of the block at word 2048.
    named = block(SITES, site("shop::a", lists=("3", "a", "b", "c", "0")))
    def flying(first, count):
        return ring_block(three, depth=1, frames=[1, 1_000_500, 7, arguments(1_000_500, first, count, 1032)])
    ring_file("arguments_of_damaged_tokens", named, flying(0, 200), block(SCRATCH, [LARGEST - 2, 0xE4E4E4E4E4E4E4E4] * 100))
    ring_file("arguments_that_nest", named, flying(0, 4095), block(SCRATCH, list(range(2**56, 2**64, 2**56)) * 17))
    ring_file("arguments_beyond_their_memory", named, flying(16_383, 4095), block(SCRATCH, [LARGEST] * 8))
    ring_file("arguments_of_no_memory", named, flying(0, 4095))
    waiting = block(FLIGHTS, [1 | 0xFFFFFFFF << 32, 1_000_500, 7, 1_000_900, 7] * 200)
    ring_file("suspended_by_themselves", named, ring_block(three), waiting, block(FLIGHT_VALUES, [LARGEST] * 900))
    ring_file("suspended_past_the_arguments", named, ring_block(three), waiting, block(FLIGHT_VALUES, [2**64 - 1] * 8))
    ring_file("panics_of_no_end", named, ring_block(three, panic=[LARGEST, 1, LARGEST, LARGEST] + [LARGEST] * 108),
              ring_block(three, panic=[1_000_700, 2, 1, 1, LARGEST] + [0x1B1B1B1B1B1B1B1B] * 107), w19=LARGEST)
    (RINGS / "empty").write_bytes(b"")
    (RINGS / "zeros").write_bytes(bytes(8192))
    (RINGS / "text").write_bytes(b"MNTRRING, or so they say\n" * 300)


def main():
    rings()
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

    # Triggers on tables that are written from outside.
    heavy = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000000) SELECT count(*) FROM n"
    store("triggers.db",
          "CREATE TABLE sampling (pattern TEXT PRIMARY KEY, rate REAL, set_ns INTEGER, set_by TEXT)",
          "CREATE TABLE breaker (process_id INTEGER PRIMARY KEY, hold TEXT, reason TEXT, set_ns INTEGER, set_by TEXT)",
          "CREATE TABLE owned (x)",
          f"CREATE TRIGGER a AFTER INSERT ON sampling BEGIN INSERT INTO owned {heavy}; END",
          f"CREATE TRIGGER b AFTER INSERT ON breaker BEGIN INSERT INTO owned {heavy}; END")

    # The recorder's table names with other columns, types and values.
    store("wrong_types.db",
          "CREATE TABLE process (id, run_uuid, service, version, host, pid, pid_mark, started_ns, ended_ns, ending)",
          "INSERT INTO process VALUES (x'ff00', 9e999, -1, x'80', NULL, 'pid', 3.5, 'then', x'', 'running')",
          "CREATE VIEW processes AS SELECT * FROM process",
          "CREATE TABLE call (id)", "INSERT INTO call VALUES (-9223372036854775808), (9223372036854775807)",
          "CREATE VIEW calls AS SELECT id AS call_id, x'c328' AS function, 'x' AS start_ns FROM call")
    store("generated_columns.db",
          "CREATE TABLE sampling (pattern TEXT PRIMARY KEY, rate REAL, set_ns INTEGER, "
          "set_by TEXT GENERATED ALWAYS AS (printf('%.*c', 100000000, 'x')))")

    # Stores of other programs and other versions.
    store("foreign.db", "CREATE TABLE theirs (x)", application_id=7)
    store("newer.db", "CREATE TABLE later (x)", version=2_000_000_000)
    store("older_than_any.db", "CREATE TABLE call (id)", version=-2_147_483_648)
    store("nothing_in_it.db", version=1)

    # Stores damaged in places that matter.
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
