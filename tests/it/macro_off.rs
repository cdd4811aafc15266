//! Asserts that every shape compiles and behaves the same in every edition when recording is compiled out.
//!
//! Builds the crates of `tests/editions` once more in a workspace of their own, where `monitored` is the macro crate
//! alone, without its feature.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn m94_without_the_feature_every_shape_is_what_it_was() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the folder of the workspace");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("off");
    let mut members = Vec::new();
    for edition in ["2018", "2021", "2024"] {
        let member = folder.join(edition);
        fs::create_dir_all(&member).expect("a folder for the member");
        let manifest = format!(
            "[package]\nname = \"off-{edition}\"\nedition = \"{edition}\"\n\n\
             [lib]\npath = '{root}/tests/editions/e{edition}/src/lib.rs'\n\n\
             [dependencies]\nasync-trait = \"0.1\"\n\
             monitored = {{ package = \"monitor-macro\", path = '{root}/monitor-macro' }}\n",
            root = root.display()
        );
        fs::write(member.join("Cargo.toml"), manifest).expect("a manifest");
        members.push(format!("\"{edition}\""));
    }
    let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", "));
    fs::write(folder.join("Cargo.toml"), workspace).expect("a workspace");
    // The lock file names the versions that are already downloaded.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).expect("a lock file");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--workspace", "--offline", "--target-dir"])
        .arg(folder.join("target"))
        .current_dir(&folder)
        .output()
        .expect("cargo runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stdout.matches("m01_impl_trait_sync_and_async ... ok").count(), 3, "{stdout}");
}
