"""Judges the store that a probe has left: `judge.py NAME FOLDER`.

The probe has made 1000 calls of `work` and aborted, then 100 and flushed, then 50 and exited by `process::exit`, then 60 and
returned from `main`, and it has damaged the store and recorded into a new one. Every tenth call fails.
"""

import pathlib
import sqlite3
import sys

name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
# The records of a killed process are lost where there are no ring files.
survives = name != "macos"

damaged = sorted(folder.glob("probe.db.corrupt-*"))
before = folder / "before.db"
if not damaged or not before.exists():
    sys.exit(f"{name}: no store was set aside: {sorted(path.name for path in folder.iterdir())}")


def rows(path, sql):
    store = sqlite3.connect(path)
    found = store.execute(sql).fetchall()
    store.close()
    return found


counts = {}
for process, ending, function, calls, errors in rows(
    before,
    """SELECT p.process_id, p.ending, c.function, count(*), sum(c.failed)
    FROM processes p JOIN calls c ON c.process_id = p.process_id GROUP BY 1, 2, 3 ORDER BY 1""",
):
    if function.endswith("::work"):
        counts[process] = (ending, calls, errors)
found = list(counts.values())
print(f"probe {name}: calls with a row, by process: {found}")
flushed = ("exit", 100, 10)
if flushed not in found:
    sys.exit(f"{name}: the flushed process is not as it was: {found}")
# Wine does not run the handler that notes a normal end at `process::exit`, so the process counts as killed there.
exited = [one for one in found if one[1:] == (50, 5)]
if [one[0] for one in exited] not in ([["exit"], ["crash"]] if name == "windows" else [["exit"]]):
    sys.exit(f"{name}: the process that exited lost calls: {found}")
crashed = [one for one in found if one[0] == "crash" and one not in exited]
if survives and (len(crashed) != 1 or crashed[0][1] < 500 or crashed[0][2] != 100):
    sys.exit(f"{name}: the killed process was not recovered: {found}")
if ("exit", 60, 6) not in found:
    sys.exit(f"{name}: the process that returned from main lost calls: {found}")
new = rows(folder / "probe.db", "SELECT count(*) FROM calls WHERE function LIKE '%::work'")[0][0]
if new == 0:
    sys.exit(f"{name}: nothing was recorded into the new store")
functions = {row[0].rsplit("::", 1)[-1] for row in rows(before, "SELECT DISTINCT function FROM calls")}
missing = {"work", "note", "largest", "order", "wait"} - functions
if missing:
    sys.exit(f"{name}: functions without a row: {missing}")
