//! Checks that the crate can be added to a program that already depends on SQLite through another crate: Cargo must
//! find versions that fit both, because only one crate of a build may link SQLite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the files that these tests read and write are no stores")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn generate_lockfile(folder: &Path, offline: bool) -> Output {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("generate-lockfile").current_dir(folder);
    if offline {
        cargo.arg("--offline");
    }
    cargo.output().unwrap()
}

/// Returns the lock file that Cargo makes for a fixture. Cargo needs the index of the registry. Without a network it
/// uses the part of the index that was fetched before.
fn resolve(fixture: &str) -> String {
    let source = root().join("tests/resolution").join(fixture);
    let folder = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(source.join("Cargo.toml")).unwrap();
    let absolute = manifest.replace("../../..", root().to_str().unwrap());
    assert_ne!(manifest, absolute, "the fixture does not depend on this workspace");
    std::fs::write(folder.path().join("Cargo.toml"), absolute).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::copy(source.join("src/lib.rs"), folder.path().join("src/lib.rs")).unwrap();

    let mut output = generate_lockfile(folder.path(), false);
    if !output.status.success() {
        let online = String::from_utf8_lossy(&output.stderr).into_owned();
        output = generate_lockfile(folder.path(), true);
        let offline = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "Cargo finds no versions:\n{online}\nwithout a network:\n{offline}");
    }
    std::fs::read_to_string(folder.path().join("Cargo.lock")).unwrap()
}

/// Counts the packages of this name in a lock file.
fn count_packages(lock: &str, name: &str) -> usize {
    lock.matches(&format!("name = \"{name}\"\n")).count()
}

/// Asserts that the fixture resolves to one version of the peer, of SQLite and of this crate.
fn assert_resolves(fixture: &str, peer: &str) {
    let lock = resolve(fixture);
    for name in [peer, "monitored", "rusqlite", "libsqlite3-sys"] {
        assert_eq!(count_packages(&lock, name), 1, "{name} in\n{lock}");
    }
}

#[test]
fn the_crate_resolves_beside_sqlx() {
    assert_resolves("beside_sqlx", "sqlx");
}

#[test]
fn the_crate_resolves_beside_diesel() {
    assert_resolves("beside_diesel", "diesel");
}
