//! A row of the table: a fault, the way in which it is caused, and its result.

use std::fmt;
use std::time::Duration;

/// A fault to be tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) fault: &'static str,
    pub(crate) how: &'static str,
    pub(crate) need: Need,
    pub(crate) length: Length,
    pub(crate) run: fn() -> Row,
}

/// A requirement of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// Mounts and other users.
    Root,
    /// A C compiler, for the shim.
    Compiler,
    /// The interpreter `python3`.
    Python,
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nothing => "nothing",
            Self::Root => "root",
            Self::Compiler => "a C compiler",
            Self::Python => "python3",
        })
    }
}

/// The length of a row, by which it runs with every `cargo test` or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Short,
    /// The row waits for the breaker, or repeats something hundreds of times.
    Long,
    /// The row takes minutes and runs only when asked for by name.
    ByName,
}

impl Case {
    /// Returns the requirement that this machine does not meet.
    pub(crate) fn missing(&self) -> Option<Need> {
        let is_there = match self.need {
            Need::Nothing => true,
            Need::Root => crate::place::is_root(),
            Need::Compiler => crate::shim::path().is_some(),
            Need::Python => std::process::Command::new("python3")
                .arg("--version")
                .output()
                .is_ok_and(|run| run.status.success()),
        };
        (!is_there).then_some(self.need)
    }
}

/// Calls by class.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
}

impl Calls {
    pub(crate) fn all(self) -> u64 {
        self.ok + self.failed
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.ok, self.failed)
    }
}

/// The result of a fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) how: &'static str,
    pub(crate) emitted: Calls,
    /// Rows found in stores.
    pub(crate) stored: Calls,
    /// Rows among them of calls that were made while the fault lasted.
    pub(crate) recovered: Option<u64>,
    /// Calls without a row, by reason.
    pub(crate) lost: Vec<(&'static str, u64)>,
    /// The time from the end of the fault to the first new row.
    pub(crate) again: Option<Duration>,
    /// The longest time for which a caller stood still in a round of twelve calls.
    pub(crate) waited: Duration,
    /// The time of the first round of calls, in which the recorder starts, without the time in which the machine ran something else.
    pub(crate) started: Duration,
    /// True if exit status and output were those of the run without a recorder.
    pub(crate) is_host_unchanged: bool,
    /// The oracle's objections.
    pub(crate) problems: Vec<String>,
    /// Objections to times. They count only if they come up in each run of the row, because a busy machine can cause
    /// one.
    pub(crate) overtime: Vec<String>,
    /// Writes that failed, as the victim's recorder counted.
    pub(crate) writer_errors: u64,
    /// A remark printed below the row.
    pub(crate) remark: String,
}

impl Row {
    pub(crate) fn verdict(&self) -> &'static str {
        if self.problems.is_empty() { "ok    " } else { "FAILED" }
    }

    /// Adds an objection unless the condition holds.
    pub(crate) fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// Adds an objection to a time unless the condition holds.
    pub(crate) fn expect_in_time(&mut self, is_in_time: bool, objection: impl FnOnce() -> String) {
        if !is_in_time {
            self.overtime.push(objection());
        }
    }

    fn cells(&self) -> [String; 9] {
        let lost: Vec<String> = self.lost.iter().map(|(reason, calls)| format!("{reason} {calls}")).collect();
        [
            self.fault.to_owned(),
            self.how.to_owned(),
            self.emitted.to_string(),
            self.stored.to_string(),
            self.recovered.map_or_else(|| "-".to_owned(), |calls| calls.to_string()),
            if lost.is_empty() { "0".to_owned() } else { lost.join(", ") },
            self.again.map_or_else(|| "-".to_owned(), |again| format!("{:.1} s", again.as_secs_f64())),
            if self.waited.is_zero() { "-".to_owned() } else { format!("{:.0?}", self.waited) },
            if self.is_host_unchanged { "yes" } else { "NO" }.to_owned(),
        ]
    }
}

const HEADINGS: [&str; 9] = [
    "fault",
    "injected how",
    "emitted",
    "stored",
    "recovered",
    "lost",
    "again after",
    "caller waited",
    "host unchanged",
];

/// Prints all rows as an aligned table; `emitted` and `stored` are ok + failed calls.
pub(crate) fn print(rows: &[Row]) {
    let cells: Vec<[String; 9]> = rows.iter().map(Row::cells).collect();
    let widths: [usize; 9] = std::array::from_fn(|at| {
        let widest = cells.iter().map(|row| row[at].chars().count()).max();
        widest.unwrap_or(0).max(HEADINGS[at].len())
    });
    let line = |cells: [&str; 9]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
    };
    println!("\n{}", line(HEADINGS));
    println!("{}", widths.map(|width| "-".repeat(width)).join("-|-"));
    for (row, cells) in rows.iter().zip(&cells) {
        println!("{}", line(std::array::from_fn(|at| cells[at].as_str())));
        if !row.remark.is_empty() {
            println!("    {}", row.remark);
        }
        print_row_problems(row);
    }
}

/// Prints the work of the first round of calls over all rows that measured it.
pub(crate) fn print_starts(rows: &[Row]) {
    let mut starts: Vec<Duration> =
        rows.iter().map(|row| row.started).filter(|started| !started.is_zero()).collect();
    starts.sort();
    let (Some(median), Some(most)) = (starts.get(starts.len() / 2), starts.last()) else { return };
    println!(
        "the first round of calls, in which the recorder starts, took {median:.1?} (median of {}), {most:.1?} at most",
        starts.len()
    );
}

/// Prints the failed rows once more, so that they stand at the end of a long output. Returns how many there are.
pub(crate) fn print_problems(rows: &[Row]) -> usize {
    let failed: Vec<&Row> = rows.iter().filter(|row| !row.problems.is_empty()).collect();
    for row in &failed {
        println!("\n{}", row.fault);
        print_row_problems(row);
    }
    failed.len()
}

fn print_row_problems(row: &Row) {
    for problem in &row.problems {
        println!("    FAILED: {}", problem.trim_end().replace('\n', "\n      "));
    }
}
