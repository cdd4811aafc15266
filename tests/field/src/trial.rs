//! The trial of one crate: the crate is built and tested as it is, and with the attribute on its functions. A third run
//! of its tests compares the recorder's counts of calls with independent ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use walkdir::WalkDir;

use crate::annotate::annotate;
use crate::counts::{self, Compared};
use crate::crates::{Crate, Edit};
use crate::recover;

/// The result of building and testing one form of a crate.
#[derive(Debug, Default)]
struct Form {
    errors: Vec<String>,
    warnings: usize,
    compile: Duration,
    run: Duration,
    bytes: u64,
    programs: Vec<Program>,
    /// The result of each test, by the program and the test's name.
    tests: BTreeMap<String, String>,
}

/// A test program: its file, and its name without the hash of cargo.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    name: String,
}

impl Form {
    fn passed(&self) -> usize {
        self.tests.values().filter(|result| *result == "ok").count()
    }
}

/// The outcome of a trial.
#[derive(Debug)]
pub(crate) struct Outcome {
    name: String,
    functions: usize,
    unread: Vec<String>,
    before: Form,
    after: Form,
    counts: Compared,
}

/// Tries a crate.
pub(crate) fn run(subject: &Crate, root: &Path, work: &Path) -> Result<Outcome> {
    let source = subject.fetch(work)?;
    let folder = work.join(&subject.name);
    if folder.exists() {
        // A trial that was broken off leaves a store, to whose counts those of this trial would be added.
        std::fs::remove_dir_all(&folder)?;
    }
    let (before, after) = (folder.join("before"), folder.join("after"));
    copy(&source, &before)?;
    copy(&source, &after)?;
    for file in subject.absent.keys() {
        for form in [&before, &after] {
            std::fs::remove_file(form.join(file)).with_context(|| file.clone())?;
        }
    }
    for (file, edit) in &subject.edit {
        for form in [&before, &after] {
            apply(edit, &form.join(file)).with_context(|| file.clone())?;
        }
    }
    let mut unread = Vec::new();
    let functions = annotate_all(subject, &after.join("src"), &mut unread)?;
    prepare_manifest(subject, &before, &[])?;
    let field_count = root.join("tests/field/count");
    prepare_manifest(subject, &after, &[("monitored", root), ("field-count", &field_count)])?;
    let target = work.join("target");
    let before = build_and_test(subject, &before, &target, &[])?;
    let after_store = folder.join("captured.db");
    let after = build_and_test(subject, &after, &target, &[("MONITOR_DB", &after_store)])?;
    let counts = if after.errors.is_empty() { count(&after, &folder)? } else { Compared::default() };
    let outcome = Outcome { name: subject.name.clone(), functions, unread, before, after, counts };
    for program in outcome.before.programs.iter().chain(&outcome.after.programs) {
        std::fs::remove_file(&program.path)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(outcome)
}

/// Runs the tests of the annotated form once more, and compares the recorder's counts of calls with the independent
/// ones. Values are not captured in this run, because a capture may call annotated functions of the crate, such as an
/// implementation of `Debug`: the independent counters count these calls, and the recorder does not.
fn count(after: &Form, folder: &Path) -> Result<Compared> {
    let (store, counters) = (folder.join("store.db"), folder.join("counters"));
    std::fs::create_dir_all(&counters)?;
    let variables = [
        ("MONITOR_DB", store.as_path()),
        ("FIELD_COUNTS", &counters),
        ("MONITOR_CAPTURE", Path::new("none")),
    ];
    for program in &after.programs {
        run_tests(program, &folder.join("after"), &variables)?;
    }
    recover::recover(&store, std::fs::read_dir(&counters)?.count())?;
    counts::compare(&counters, &store)
}

/// Makes the changes in a file.
fn apply(edit: &Edit, file: &Path) -> Result<()> {
    let mut text = std::fs::read_to_string(file)?;
    for (from, to) in &edit.changes {
        if !text.contains(from) {
            bail!("{from} does not occur in it");
        }
        text = text.replace(from, to);
    }
    std::fs::write(file, text)?;
    Ok(())
}

/// Copies a crate's source to a new folder.
fn copy(source: &Path, to: &Path) -> Result<()> {
    for entry in WalkDir::new(source) {
        let entry = entry?;
        let path = to.join(entry.path().strip_prefix(source)?);
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(path)?;
        } else if entry.file_name() != "Cargo.lock" && entry.file_name() != "rust-toolchain.toml" {
            std::fs::write(path, std::fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// Annotates all files of a crate. Returns the number of functions. Files that could not be read are added to `unread`.
fn annotate_all(subject: &Crate, folder: &Path, unread: &mut Vec<String>) -> Result<usize> {
    let mut functions = 0;
    for entry in WalkDir::new(folder) {
        let path = entry?.into_path();
        let name = path.display().to_string();
        let is_left = subject.leave.keys().any(|end| name.ends_with(end));
        if path.extension().is_none_or(|extension| extension != "rs") || is_left {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        match annotate(&text) {
            Some(annotated) => {
                functions += annotated.functions;
                std::fs::write(&path, annotated.text)?;
            }
            None => unread.push(name),
        }
    }
    Ok(functions)
}

/// Makes a crate a workspace of its own, with these dependencies and without the tests that are taken out.
fn prepare_manifest(subject: &Crate, folder: &Path, dependencies: &[(&str, &Path)]) -> Result<()> {
    let path = folder.join("Cargo.toml");
    let mut manifest: toml_edit::DocumentMut = std::fs::read_to_string(&path)?.parse()?;
    manifest["workspace"] = toml_edit::table();
    if let Some(tests) = manifest.get_mut("test").and_then(toml_edit::Item::as_array_of_tables_mut) {
        let path =
            |test: &toml_edit::Table| test.get("path").and_then(|path| path.as_str().map(str::to_owned));
        tests.retain(|test| path(test).is_none_or(|path| !subject.absent.contains_key(&path)));
    }
    for (name, dependency) in dependencies {
        let mut table = toml_edit::InlineTable::new();
        table.insert("path", dependency.display().to_string().into());
        manifest["dependencies"][name] = toml_edit::value(table);
    }
    // The tests of hashbrown make nearly a billion calls. Those of the short form make few calls: a recorder without
    // optimization takes less time to compile than it adds to them.
    if !subject.short && dependencies.iter().any(|(name, _)| *name == "monitored") {
        // The README advises these lines for debug builds.
        let mut recorder = toml_edit::InlineTable::new();
        recorder.insert("opt-level", 3.into());
        manifest["profile"]["dev"]["package"]["monitor-runtime"] = toml_edit::value(recorder);
    }
    std::fs::write(path, manifest.to_string())?;
    Ok(())
}

/// Builds one form of a crate and runs its tests. The target folder is that of all crates, so that common dependencies
/// are built once.
fn build_and_test(
    subject: &Crate,
    folder: &Path,
    target: &Path,
    variables: &[(&str, &Path)],
) -> Result<Form> {
    let mut form = Form::default();
    let has_library = folder.join("src/lib.rs").exists();
    let cargo = || {
        let mut command = Command::new("cargo");
        command
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", target)
            .env_remove("RUSTFLAGS")
            .env("CARGO_INCREMENTAL", "0");
        command.arg("test");
        if !subject.features.is_empty() {
            command.args(["--features", &subject.features.join(",")]);
        }
        if subject.tests.is_empty() {
            // Cargo refuses `--lib` for a package without a library.
            command.args(has_library.then_some("--lib")).args(["--bins", "--tests"]);
        } else {
            command.args(&subject.tests);
        }
        command
    };
    // Dependencies are built first, so that the measured time is that of the crate alone.
    let _ = cargo().args(["--no-run", "--quiet"]).stderr(Stdio::null()).stdout(Stdio::null()).status()?;
    touch(folder)?;
    let start = Instant::now();
    let output = cargo()
        .args(["--no-run", "--message-format", "json"])
        .stderr(Stdio::null())
        .output()
        .context("cargo test")?;
    form.compile = start.elapsed();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        read_message(&message, folder, &mut form);
    }
    if !form.errors.is_empty() {
        return Ok(form);
    }
    if !output.status.success() {
        bail!("cargo test --no-run failed without an error of the crate's own, in {}", folder.display());
    }
    let start = Instant::now();
    for program in &form.programs {
        form.bytes += std::fs::metadata(&program.path)?.len();
        form.tests.extend(run_tests(program, folder, variables)?);
    }
    form.run = start.elapsed();
    Ok(form)
}

/// Makes cargo compile the crate again.
fn touch(folder: &Path) -> Result<()> {
    for entry in WalkDir::new(folder.join("src")) {
        let path = entry?.into_path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            std::fs::File::options().append(true).open(&path)?.set_modified(std::time::SystemTime::now())?;
        }
    }
    Ok(())
}

fn read_message(message: &serde_json::Value, folder: &Path, form: &mut Form) {
    let is_own = message["manifest_path"].as_str().is_some_and(|path| Path::new(path).starts_with(folder));
    if !is_own {
        return;
    }
    match message["reason"].as_str() {
        Some("compiler-message") => {
            let text = message["message"]["rendered"].as_str().unwrap_or_default();
            match message["message"]["level"].as_str() {
                Some("error") => form.errors.push(text.to_owned()),
                Some("warning") => form.warnings += usize::from(!message["message"]["code"].is_null()),
                _ => {}
            }
        }
        Some("compiler-artifact") => {
            let path = message["executable"].as_str().filter(|_| message["profile"]["test"] == true);
            form.programs.extend(path.map(PathBuf::from).map(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let name = name.rsplit_once('-').map_or(name.as_ref(), |(name, _)| name).to_owned();
                Program { path, name }
            }));
        }
        _ => {}
    }
}

/// Runs a test program as cargo would. Returns the results of its tests.
fn run_tests(
    Program { path, name }: &Program,
    folder: &Path,
    variables: &[(&str, &Path)],
) -> Result<Vec<(String, String)>> {
    let mut command = Command::new(path);
    command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder).envs(variables.iter().copied());
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    let output = command.output().with_context(|| path.display().to_string())?;
    let mut tests = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((label, result)) = line.strip_prefix("test ").and_then(|line| line.rsplit_once(" ... "))
        else {
            continue;
        };
        let label = label.trim_end_matches(" - should panic");
        let result = result.split_whitespace().next().unwrap_or_default();
        tests.push((format!("{name}::{label}"), result.to_owned()));
    }
    let end = if output.status.success() { "ok" } else { "FAILED" };
    tests.push((format!("{name} (its end)"), end.to_owned()));
    Ok(tests)
}

impl Outcome {
    /// The titles of the table's columns.
    pub(crate) const TITLES: &'static str = "crate           functions  errors  warnings  tests before  after  compile  size  run   functions counted     calls";

    fn ratio(after: f64, before: f64) -> String {
        if before > 0.0 && after > 0.0 { format!("{:.1}", after / before) } else { "-".to_owned() }
    }

    /// Returns the tests whose results differ, with both results.
    fn different_tests(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let names: BTreeSet<&String> = self.before.tests.keys().chain(self.after.tests.keys()).collect();
        names.into_iter().filter_map(|name| {
            let (before, after) = (result_of(&self.before, name), result_of(&self.after, name));
            (before != after).then_some((name.as_str(), before, after))
        })
    }

    /// Returns a line for each fault that no reason excuses.
    pub(crate) fn faults(&self, subject: &Crate) -> Vec<String> {
        let mut faults: Vec<String> =
            self.after.errors.iter().skip(self.before.errors.len()).cloned().collect();
        if let Some(error) = self.before.errors.first() {
            faults.push(format!("its tests do not compile as they are, so nothing was tried: {error}"));
        }
        if self.after.errors.is_empty() {
            faults.extend(
                self.different_tests()
                    .filter(|(name, ..)| reason(subject, name).is_none())
                    .map(|(name, before, after)| format!("{name}: {before} before, {after} after")),
            );
            faults.extend(
                self.counts.differences.iter().filter(|found| reason(subject, &found.place).is_none()).map(
                    |found| {
                        format!(
                            "{}: {} calls counted, {} recorded",
                            found.place, found.counted, found.recorded
                        )
                    },
                ),
            );
        }
        faults.extend(self.unread.iter().map(|path| format!("{path}: cannot be read")));
        faults
    }

    /// Returns a line for each exception, with its reason.
    pub(crate) fn remarks(&self, subject: &Crate) -> Vec<String> {
        let tests = self.different_tests().filter_map(|(name, before, after)| {
            reason(subject, name)
                .map(|reason| format!("{name}: {before} before, {after} after, because {reason}"))
        });
        let counts = self.counts.differences.iter().filter_map(|found| {
            let line =
                format!("{}: {} calls counted, {} recorded", found.place, found.counted, found.recorded);
            reason(subject, &found.place).map(|reason| format!("{line}, because {reason}"))
        });
        let left =
            subject.leave.iter().map(|(file, reason)| format!("{file} is left as it is, because {reason}"));
        let absent =
            subject.absent.iter().map(|(file, reason)| format!("{file} is taken out, because {reason}"));
        let edited =
            subject.edit.iter().map(|(file, edit)| format!("{file} is edited, because {}", edit.reason));
        tests.chain(counts).chain(left).chain(absent).chain(edited).collect()
    }
}

fn result_of<'a>(form: &'a Form, name: &str) -> &'a str {
    form.tests.get(name).map_or("missing", String::as_str)
}

fn reason<'a>(subject: &'a Crate, name: &str) -> Option<&'a str> {
    subject.differs.iter().find(|(part, _)| name.contains(part.as_str())).map(|(_, reason)| reason.as_str())
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, counts, .. } = self;
        let new_warnings = after.warnings.saturating_sub(before.warnings);
        let compile = Self::ratio(after.compile.as_secs_f64(), before.compile.as_secs_f64());
        let run = Self::ratio(after.run.as_secs_f64(), before.run.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a ratio is shown with two digits")]
        let size = Self::ratio(after.bytes as f64, before.bytes as f64);
        let equal = counts.functions - counts.differences.len();
        write!(
            out,
            "{:<15} {:>9}  {:>6}  {:>8}  {:>12}  {:>5}  {:>7}  {:>4}  {:>4}  {:>8} of {:>6}  {:>9}",
            self.name,
            self.functions,
            after.errors.len(),
            new_warnings,
            before.passed(),
            after.passed(),
            compile,
            size,
            run,
            equal,
            counts.functions,
            counts.calls
        )
    }
}
