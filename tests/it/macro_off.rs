//! Asserts that every shape compiles and behaves the same in every edition when recording is compiled out, and that nothing
//! of the attribute is left in machine code then.
//!
//! Builds the crates of `tests/editions` once more in a workspace of their own: with the attribute off, which returns each
//! function as it is, and with the recording attribute over the inert room, as it happens where Cargo joins the features of
//! two places in one build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace").to_owned()
}

/// Returns the folder of a workspace with these members, each a name and a manifest.
fn make_workspace(name: &str, members: &[(String, String)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (member, manifest) in members {
        fs::create_dir_all(folder.join(member)).expect("a folder for the member");
        fs::write(folder.join(member).join("Cargo.toml"), manifest).expect("a manifest");
    }
    let names: Vec<String> = members.iter().map(|(member, _)| format!("\"{member}\"")).collect();
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", names.join(", "));
    fs::write(folder.join("Cargo.toml"), workspace).expect("a workspace");
    // The lock file names the versions that are already downloaded.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).expect("a lock file");
    folder
}

/// Runs cargo in a workspace, and returns what it prints.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(folder)
        .output()
        .expect("cargo runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout.into_owned()
}

/// Returns a dependency on the crate without its recorder.
fn inert() -> String {
    format!("monitored = {{ path = '{}', default-features = false }}", root().display())
}

/// Returns a dependency that switches the recording attribute on.
fn recording_attribute() -> String {
    format!("monitor-macro = {{ path = '{}/monitor-macro', features = [\"record\"] }}", root().display())
}

fn test_editions(name: &str, dependencies: &str) {
    let members: Vec<(String, String)> = ["2018", "2021", "2024"]
        .iter()
        .map(|edition| {
            let manifest = format!(
                "[package]\nname = \"{name}-{edition}\"\nedition = \"{edition}\"\n\n\
                 [lib]\npath = '{root}/tests/editions/e{edition}/src/lib.rs'\n\n\
                 [dependencies]\nasync-trait = \"0.1\"\n{dependencies}\n",
                root = root().display()
            );
            ((*edition).to_owned(), manifest)
        })
        .collect();
    let printed = cargo(&make_workspace(name, &members), &["test", "--workspace"]);
    assert_eq!(printed.matches("m01_impl_trait_sync_and_async ... ok").count(), 3, "{printed}");
}

#[test]
fn m94_without_the_feature_every_shape_is_what_it_was() {
    test_editions("off", &inert());
}

#[test]
fn every_shape_behaves_the_same_over_the_inert_room() {
    test_editions("inert", &format!("{}\n{}", inert(), recording_attribute()));
}

/// Functions whose machine code is compared, with the attribute where the feature `attribute` is on.
const FUNCTIONS: &str = r#"
#[cfg_attr(feature = "attribute", monitored::monitor)]
#[unsafe(no_mangle)]
pub fn add(one: u64, other: u64) -> u64 { one.wrapping_add(other) }

#[cfg_attr(feature = "attribute", monitored::monitor(fields(text = text.len())))]
#[unsafe(no_mangle)]
pub fn parse(text: &str) -> Result<u32, std::num::ParseIntError> { Ok(text.trim().parse::<u32>()? + 1) }

#[cfg_attr(feature = "attribute", monitored::monitor)]
#[unsafe(no_mangle)]
pub fn fill(into: &mut [u8], byte: u8) { for one in into { *one ^= byte; } }

pub struct Shop { pub orders: Vec<u64> }

impl Shop {
    #[cfg_attr(feature = "attribute", monitored::monitor)]
    #[unsafe(no_mangle)]
    pub fn total(&self) -> u64 { self.orders.iter().sum() }
}
"#;

/// Returns the instructions of each function, by the lines of the compiler's assembly.
fn assembly(folder: &Path, member: &str, features: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut arguments = vec!["rustc", "--release", "--lib", "-p", member];
    arguments.extend(features);
    arguments.extend(["--", "--emit=asm", "-Ccodegen-units=1", "-Cdebuginfo=0"]);
    // `--target-dir` has to stand before the arguments of rustc.
    let target = folder.join("target").join(if features.is_empty() { "plain" } else { "attribute" });
    let split = arguments.iter().position(|argument| *argument == "--").expect("arguments of rustc");
    let output = Command::new(env!("CARGO"))
        .args(&arguments[..split])
        .args(["--offline", "--target-dir"])
        .arg(&target)
        .args(&arguments[split..])
        .current_dir(folder)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = fs::read_dir(target.join("release/deps")).expect("a folder of the build");
    let file = files.flatten().map(|entry| entry.path()).find(|path| {
        path.extension().is_some_and(|extension| extension == "s")
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&member.replace('-', "_")))
    });
    let text = fs::read_to_string(file.expect("the assembly")).expect("assembly is text");
    ["add", "parse", "fill", "total"]
        .iter()
        .map(|name| {
            let mut lines = text.lines().skip_while(|line| *line != format!("{name}:"));
            lines.next().unwrap_or_else(|| panic!("no {name} in {text}"));
            let body = lines.take_while(|line| !line.starts_with(".Lfunc_end"));
            // The rest of a line from `.Lanon.` on is cut off, because the compiler numbers anonymous constants over
            // the whole file, so their names differ between the two builds.
            let body = body.map(|line| line.trim().split(".Lanon.").next().unwrap_or_default().to_owned());
            ((*name).to_owned(), body.filter(|line| !line.starts_with(".cfi")).collect())
        })
        .collect()
}

#[test]
fn nothing_of_the_attribute_is_left_in_machine_code() {
    let member = |name: &str, dependencies: &str| {
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[lib]\npath = 'lib.rs'\n\n[features]\nattribute = []\n\n\
             [dependencies]\n{dependencies}\n"
        );
        (name.to_owned(), manifest)
    };
    for (name, dependencies) in
        [("code-off", inert()), ("code-inert", format!("{}\n{}", inert(), recording_attribute()))]
    {
        let folder = make_workspace(name, &[member(name, &dependencies)]);
        fs::write(folder.join(name).join("lib.rs"), FUNCTIONS).expect("the source");
        let plain = assembly(&folder, name, &[]);
        let monitored = assembly(&folder, name, &["--features", "attribute"]);
        for ((function, plain), (_, monitored)) in plain.iter().zip(&monitored) {
            assert!(!plain.is_empty(), "{function} has no code");
            assert_eq!(plain, monitored, "{name}: {function}");
        }
    }
}

#[test]
fn without_the_recorder_a_build_gains_the_attribute_alone() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "monitored", "--no-default-features", "-e", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut crates: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    crates.sort_unstable();
    crates.dedup();
    crates.retain(|name| !name.is_empty());
    let expected =
        ["monitor-macro", "monitor-rules", "monitored", "proc-macro2", "quote", "syn", "unicode-ident"];
    assert_eq!(crates, expected, "{text}{}", String::from_utf8_lossy(&output.stderr));
}
