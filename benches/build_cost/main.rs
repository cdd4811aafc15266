//! `cargo bench -p monitor-benches --bench build` measures the build time of a program that uses the dependency and the
//! attribute: the number of crates, the seconds of a clean build, and the milliseconds per function.
//!
//! The seconds of a clean build are compared with those of an empty crate in the same round. The milliseconds per
//! function are the difference to the same crate without attributes in the same round, and are compared with those of
//! `tracing::instrument`. The benchmark takes minutes, because each round of a clean build compiles SQLite.

mod crate_made;

use std::error::Error;

use monitor_benches::{Options, Table};

use crate_made::{Kind, MadeCrate, Profile};

const NONE: Kind = Kind { name: "none", dependencies: "", attribute: "" };

const OURS: Kind = Kind {
    name: "monitored",
    dependencies: "monitored = { path = \"{root}\" }",
    attribute: "#[monitored::monitor]",
};

const TRACING: Kind = Kind {
    name: "tracing instrument",
    dependencies: "tracing = \"0.1\"",
    attribute: "#[tracing::instrument]",
};

/// Records the result and the error too, as `#[monitor]` does.
const TRACING_RESULT: Kind = Kind {
    name: "tracing instrument with ret and err",
    dependencies: "tracing = \"0.1\"",
    attribute: "#[tracing::instrument(ret, err)]",
};

/// The crates that a program needs to keep its spans in a file.
const TRACING_FILE: Kind = Kind {
    name: "tracing with JSON in a file",
    dependencies: "tracing = \"0.1\"\ntracing-subscriber = { version = \"0.3\", features = [\"json\"] }\n\
                   tracing-appender = \"0.2\"",
    attribute: "",
};

const FASTRACE: Kind = Kind {
    name: "fastrace trace",
    dependencies: "fastrace = { version = \"0.7\", features = [\"enable\"] }",
    attribute: "#[fastrace::trace]",
};

/// The highest number of crates that a user's program may gain.
const CRATES_MAX: f64 = 32.0;

/// Enough functions that the time to compile them exceeds the time to start the compiler.
const FUNCTIONS: usize = 1000;
const FUNCTIONS_SHORT: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args();
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("build", "ms/fn", "tracing::instrument (clean builds: an empty crate)");
    if options.wants("crates") {
        count_crates(&folder.path().join("crates"), &mut table)?;
    }
    if options.wants("clean") && !options.short {
        measure_clean_builds(&options, &folder.path().join("clean"), &mut table)?;
    }
    for profile in [Profile::Debug, Profile::Release] {
        if options.wants("functions") && (profile == Profile::Debug || !options.short) {
            measure_functions(&options, &folder.path().join(format!("{profile:?}")), profile, &mut table)?;
        }
    }
    Ok(table.finish(&options)?)
}

/// Adds the number of crates that each dependency brings.
fn count_crates(parent: &std::path::Path, table: &mut Table) -> Result<(), Box<dyn Error>> {
    for kind in [OURS, TRACING_FILE, FASTRACE] {
        let case = format!("crates: {}", kind.name);
        if kind.name == OURS.name {
            table.row(&case, Some(CRATES_MAX));
        }
        let crates = MadeCrate::new(parent, kind, 0)?.crates()?;
        table.figure(&case, to_f64(crates.len()), "crates");
    }
    Ok(())
}

/// Adds the seconds of a clean build with each dependency.
fn measure_clean_builds(
    options: &Options,
    parent: &std::path::Path,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let nothing = MadeCrate::new(parent, NONE, 0)?;
    for kind in [OURS, TRACING_FILE, FASTRACE] {
        let made = MadeCrate::new(parent, kind, 0)?;
        for _ in 0..options.rounds() {
            let floor = nothing.clean_build(Profile::Debug)?;
            let spent = made.clean_build(Profile::Debug)?;
            table.record_in(&format!("clean build: {}", kind.name), spent, floor, "s");
        }
    }
    Ok(())
}

/// Measures the build time that each attribute adds, in milliseconds per function, and records it in the table.
fn measure_functions(
    options: &Options,
    parent: &std::path::Path,
    profile: Profile,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let functions = options.amount(FUNCTIONS, FUNCTIONS_SHORT);
    let kinds = [TRACING, OURS, TRACING_RESULT, FASTRACE];
    let plain = MadeCrate::new(parent, NONE, functions)?;
    let made = kinds.map(|kind| MadeCrate::new(parent, kind, functions));
    plain.build(profile)?;
    for made in &made {
        made.as_ref().map_err(ToString::to_string)?.build(profile)?;
    }
    let name = |kind: Kind| format!("{}, {profile:?}", kind.name);
    table.row(&name(OURS), Some(1.0));
    for _ in 0..options.rounds() {
        let without = plain.build_again(profile)?;
        let mut floor = None;
        for (kind, made) in kinds.into_iter().zip(&made) {
            let with = made.as_ref().map_err(ToString::to_string)?.build_again(profile)?;
            let each = (with - without) * 1e3 / to_f64(functions);
            table.record(&name(kind), each, *floor.get_or_insert(each));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn to_f64(number: usize) -> f64 {
    number as f64
}
