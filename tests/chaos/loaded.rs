//! The recorder in libraries that are loaded at run time: a monitored program loads two monitored libraries, so that
//! the process has several recorders; and Python loads one library, and then starts processes by fork, spawn and
//! forkserver.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::oracle;
use crate::play::{Play, bounded};
use crate::row::{Case, Length, Need, Row};

const fn case(fault: &'static str, how: &'static str, need: Need, run: fn() -> Row) -> Case {
    Case { fault, how, need, length: Length::Short, run }
}

pub(crate) const CASES: &[Case] = &[
    case("two libraries loaded by a program", "dlopen; three recorders, one store", Need::Nothing, || {
        let play = Play::new();
        let paths = ["libone.so", "libtwo.so"].map(|name| copy_to(&play, name));
        libraries(play, &paths, 1)
    }),
    Case {
        fault: "two versions of the recorder in one process",
        how: "dlopen; a library built from changed sources",
        need: Need::Nothing,
        length: Length::Long,
        run: versions,
    },
    case(
        "processes of an interpreter",
        "Python's multiprocessing: fork, spawn, forkserver",
        Need::Python,
        interpreter,
    ),
];

/// Builds the library and returns its path.
fn build() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build_in(Path::new(env!("CARGO_MANIFEST_DIR"))).join("libplugin.so"))
}

/// Builds the library of the workspace in this folder, without optimization, because two recorders are to be compiled.
/// Returns the folder that cargo puts it into.
fn build_in(folder: &Path) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let target = deps.ancestors().nth(3).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder).args(["build", "--quiet", "--offline", "-p", "monitor-plugin"]);
    let output = command.arg("--target-dir").arg(target).output().unwrap();
    assert!(output.status.success(), "the library does not build: {output:?}");
    target.join("debug")
}

/// Copies the library, so that the loader takes each copy for a library of its own.
fn copy_to(play: &Play, name: &str) -> PathBuf {
    let path = play.place.home().join(name);
    std::fs::copy(build(), &path).unwrap();
    path
}

/// Returns calls, failures, and the number of processes, by function.
fn count_by_function(play: &Play, function: &str) -> (i64, i64, i64) {
    let store = oracle::open(&play.place.db()).unwrap();
    let sql = "SELECT count(*), coalesce(sum(failed), 0), count(DISTINCT process_id) FROM calls WHERE function LIKE '%::' || ?1";
    store.query_row(sql, [function], |row| row.try_into()).unwrap()
}

/// Two libraries of different versions are loaded, the second of the next version.
fn versions() -> Row {
    let play = Play::new();
    let paths = [copy_to(&play, "libone.so"), build_next_version(&play)];
    libraries(play, &paths, 2)
}

/// Builds the library from a copy of the sources that has another version number. Returns its path.
fn build_next_version(play: &Play) -> PathBuf {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let copy = play.place.home().join("next");
    for part in ["src", "monitor-rules", "monitor-macro", "monitor-runtime", "monitor-guard", "tests/plugin"]
    {
        copy_folder(&root.join(part), &copy.join(part));
    }
    for file in ["README.md", "Cargo.lock"] {
        std::fs::copy(root.join(file), copy.join(file)).unwrap();
    }
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let own = format!("\"{VERSION}\"");
    let exact = format!("\"={VERSION}\"");
    let manifest: Vec<String> = manifest
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("members", _)) => {
                r#"members = ["monitor-rules", "monitor-macro", "monitor-runtime", "monitor-guard", "tests/plugin"]"#
                    .to_owned()
            }
            _ => line.replace(&own, "\"99.0.0\"").replace(&exact, "\"=99.0.0\""),
        })
        .collect();
    std::fs::write(copy.join("Cargo.toml"), manifest.join("\n")).unwrap();
    let plugin = copy.join("tests/plugin/Cargo.toml");
    // Cargo puts the libraries of all versions into one folder.
    let renamed = std::fs::read_to_string(&plugin).unwrap().replace("\"plugin\"", "\"plugin_next\"");
    std::fs::write(&plugin, renamed).unwrap();
    build_in(&copy).join("libplugin_next.so")
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Each copy records the functions of its own part of the program, and says once that it is not alone.
fn libraries(play: Play, paths: &[PathBuf; 2], versions: i64) -> Row {
    const ROUNDS: i64 = 20;
    let paths = [0, 1].map(|at| paths[at].to_string_lossy().into_owned());
    let play = play.with_variable("MONITOR_FOLD_AFTER", "off").with_variable("PLUGINS", &paths.join(":"));
    let with = bounded(play.command("plugins", u64::try_from(ROUNDS * 10).unwrap()));
    let mut command = play.command("plugins", u64::try_from(ROUNDS * 10).unwrap());
    let without = bounded(command.env("MONITOR", "off"));
    let sum = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stdout).split(' ').next().map(str::to_owned)
    };
    let mut row =
        Row { is_host_unchanged: with.status.success() && sum(&with) == sum(&without), ..Row::default() };
    row.expect(row.is_host_unchanged && with.stdout.ends_with(b" 2 Ok(())\n"), || {
        format!("{with:?}\n{without:?}")
    });
    (row.emitted.ok, row.emitted.failed) = (10 * 20 + 50 * 20 - 5 * 20, 5 * 20);
    let (own, plugged_in) = (count_by_function(&play, "leaf"), count_by_function(&play, "plugged_in"));
    (row.stored.ok, row.stored.failed) =
        ((own.0 + plugged_in.0 - plugged_in.1).unsigned_abs(), plugged_in.1.unsigned_abs());
    row.expect(own == (10 * ROUNDS, 0, 1), || format!("calls of the program: {own:?}"));
    row.expect(plugged_in == (50 * ROUNDS, 5 * ROUNDS, 2), || {
        format!("calls of the libraries: {plugged_in:?}")
    });
    let store = oracle::open(&play.place.db()).unwrap();
    let count = |sql: &str| store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let exact = count("SELECT sum(calls) FROM functions");
    row.expect(exact == 60 * ROUNDS, || format!("{exact} calls are counted"));
    let copies = count("SELECT count(DISTINCT run_uuid) FROM processes");
    let told = count("SELECT count(*) FROM events WHERE detail LIKE 'another copy of the recorder%'");
    row.expect(copies == 3 && (1..copies).contains(&told), || format!("{copies} copies, told {told} times"));
    let found = count("SELECT count(DISTINCT version) FROM processes");
    row.expect(found == versions, || format!("{found} versions of the recorder"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("{found:?}"));
    row
}

/// A process of the interpreter calls the library, makes processes in each way it knows, and calls again.
const PROGRAM: &str = "
import ctypes, multiprocessing, sys
library = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else None)
library.plugin_work.restype = ctypes.c_uint64
def work(times):
    return library.plugin_work(ctypes.c_uint64(times))
if __name__ == '__main__':
    total = work(30)
    for way in ['fork', 'spawn', 'forkserver']:
        with multiprocessing.get_context(way).Pool(2) as pool:
            total += sum(pool.map(work, [10] * 4, chunksize=1))
            pool.close()
            pool.join()
    print(total + work(30), library.plugin_flush())
";

/// The interpreter's result is what it is without a recorder, its own calls are exact, and each of its processes has the calls of
/// whole jobs, or nothing.
fn interpreter() -> Row {
    let play = Play::new();
    let library = copy_to(&play, "libone.so");
    let script = play.place.home().join("program.py");
    std::fs::write(&script, PROGRAM).unwrap();
    let run = |off: bool| {
        let victim = play.command("flush", 0);
        let mut command = Command::new("python3");
        command.arg(&script).arg(&library);
        command.env_clear().envs(victim.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if off {
            command.env("MONITOR", "off");
        }
        bounded(command)
    };
    let (with, without) = (run(false), run(true));
    let mut row = Row { is_host_unchanged: with.status.success(), ..Row::default() };
    let [said, other] = [&with, &without].map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    row.is_host_unchanged &=
        said.split(' ').next() == other.split(' ').next() && with.stderr == without.stderr;
    row.expect(row.is_host_unchanged && said.ends_with(" 1\n"), || format!("{with:?}\n{without:?}"));
    let last = bounded(play.command("flush", 1));
    row.expect(last.status.success(), || format!("{last:?}"));
    (row.emitted.ok, row.emitted.failed) = (9 * 18, 18);
    let store = oracle::open(&play.place.db()).unwrap();
    let sql =
        "SELECT count(*), sum(failed) FROM calls WHERE function LIKE '%::plugged_in' GROUP BY process_id
               ORDER BY 1 DESC";
    let mut select = store.prepare(sql).unwrap();
    let rows: Vec<(i64, i64)> =
        select.query_map([], |row| row.try_into()).unwrap().map(Result::unwrap).collect();
    row.stored.ok = rows.iter().map(|(calls, failed)| (calls - failed).unsigned_abs()).sum();
    row.stored.failed = rows.iter().map(|(_, failed)| failed.unsigned_abs()).sum();
    let is_whole = rows.iter().all(|(calls, failed)| calls % 10 == 0 && failed * 10 == *calls);
    row.expect(rows.first() == Some(&(60, 6)) && is_whole, || format!("calls by process: {rows:?}"));
    let found = oracle::find(&play.place, (0, i64::MAX));
    row.expect(found.twice == 0 && found.damaged.is_empty(), || format!("{found:?}"));
    row.remark = format!("{} processes recorded", rows.len());
    row
}
