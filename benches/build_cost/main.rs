//! `cargo bench -p monitor-benches --bench build`: what the dependency and the attribute cost whoever
//! compiles a program: crates and seconds of a clean build, milliseconds a function.
//!
//! Each figure is the difference to the same crate without them, built in the same round. It takes
//! minutes: every round of a clean build compiles SQLite.

mod crate_made;

use std::error::Error;

use monitor_benches::{Options, Table};

use crate_made::{Kind, Made, Profile};

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

/// The same with what `#[monitor]` records as well: result and error.
const TRACING_RESULT: Kind = Kind {
    name: "tracing instrument with ret and err",
    dependencies: "tracing = \"0.1\"",
    attribute: "#[tracing::instrument(ret, err)]",
};

/// What it takes to keep the calls in a file.
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

/// Crates that a user's program may gain.
const CRATES_MAX: f64 = 25.0;

/// Below so many, the time to start compiling would be all that is seen.
const FUNCTIONS: usize = 1000;
const FUNCTIONS_SHORT: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args();
    let folder = tempfile::tempdir()?;
    let mut table = Table::new("build", "ms/fn", "tracing::instrument (clean builds: a build of nothing)");
    if options.wants("crates") {
        crates(&folder.path().join("crates"), &mut table)?;
    }
    if options.wants("clean") && !options.short {
        clean(&options, &folder.path().join("clean"), &mut table)?;
    }
    for profile in [Profile::Debug, Profile::Release] {
        if options.wants("functions") && (profile == Profile::Debug || !options.short) {
            functions(&options, &folder.path().join(format!("{profile:?}")), profile, &mut table)?;
        }
    }
    Ok(table.finish(&options)?)
}

fn crates(below: &std::path::Path, table: &mut Table) -> Result<(), Box<dyn Error>> {
    for kind in [OURS, TRACING_FILE, FASTRACE] {
        let case = format!("crates: {}", kind.name);
        if kind.name == OURS.name {
            table.row(&case, Some(CRATES_MAX));
        }
        let crates = Made::new(below, kind, 0)?.crates()?;
        table.figure(&case, count(crates.len()), "crates");
    }
    Ok(())
}

fn clean(options: &Options, below: &std::path::Path, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let nothing = Made::new(below, NONE, 0)?;
    for kind in [OURS, TRACING_FILE, FASTRACE] {
        let made = Made::new(below, kind, 0)?;
        for _ in 0..options.rounds() {
            let floor = nothing.clean_build(Profile::Debug)?;
            let spent = made.clean_build(Profile::Debug)?;
            table.record_in(&format!("clean build: {}", kind.name), spent, floor, "s");
        }
    }
    Ok(())
}

fn functions(
    options: &Options,
    below: &std::path::Path,
    profile: Profile,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let functions = options.amount(FUNCTIONS, FUNCTIONS_SHORT);
    let kinds = [TRACING, OURS, TRACING_RESULT, FASTRACE];
    let plain = Made::new(below, NONE, functions)?;
    let made = kinds.map(|kind| Made::new(below, kind, functions));
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
            let each = (with - without) * 1e3 / count(functions);
            table.record(&name(kind), each, *floor.get_or_insert(each));
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
