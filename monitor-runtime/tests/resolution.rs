//! The crate can be added to a program that has another user of SQLite: Cargo finds versions that agree.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test reads and writes files that are no stores")]

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

/// The lock file that Cargo makes for a fixture. It needs the index of the registry: from the network,
/// or, where there is none, as far as it was fetched before.
fn resolve(fixture: &str) -> String {
    let source = root().join("tests/resolution").join(fixture);
    let folder = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(source.join("Cargo.toml")).unwrap();
    let absolute = manifest.replace("../../..", root().to_str().unwrap());
    assert_ne!(manifest, absolute, "the fixture depends on this workspace");
    std::fs::write(folder.path().join("Cargo.toml"), absolute).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::copy(source.join("src/lib.rs"), folder.path().join("src/lib.rs")).unwrap();

    let mut output = generate_lockfile(folder.path(), false);
    if !output.status.success() {
        let online = String::from_utf8_lossy(&output.stderr).into_owned();
        output = generate_lockfile(folder.path(), true);
        let offline = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "does not resolve:\n{online}\nwithout network:\n{offline}");
    }
    std::fs::read_to_string(folder.path().join("Cargo.lock")).unwrap()
}

fn packages(lock: &str, name: &str) -> usize {
    lock.matches(&format!("name = \"{name}\"\n")).count()
}

fn assert_beside(fixture: &str, peer: &str) {
    let lock = resolve(fixture);
    for name in [peer, "monitored", "rusqlite", "libsqlite3-sys"] {
        assert_eq!(packages(&lock, name), 1, "{name} in\n{lock}");
    }
}

#[test]
fn the_crate_resolves_beside_sqlx() {
    assert_beside("beside_sqlx", "sqlx");
}

#[test]
fn the_crate_resolves_beside_diesel() {
    assert_beside("beside_diesel", "diesel");
}
