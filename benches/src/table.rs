//! The table of a subject. It takes the value of each case in each round, and prints one row per case with the
//! median and the quartiles of its rounds. It also writes `target/benches/<subject>.json`, which holds every
//! round.
//!
//! A ratio is always formed round by round, from a case and the floor measured next to it; the median is taken
//! of these ratios. The table reads no clock: values are numbers in the row's unit.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Options, Spread, median};

/// The table of one subject.
#[derive(Debug)]
pub struct Table {
    subject: String,
    unit: String,
    floor: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    case: String,
    unit: String,
    goal: Option<Goal>,
    values: Vec<f64>,
    /// The floor of each value; empty for a figure, which is compared with nothing.
    floors: Vec<f64>,
}

/// The highest that the median should be: of the ratio, or of the value itself.
#[derive(Debug, Clone, Copy)]
struct Goal {
    max: f64,
    is_for_value: bool,
}

impl Table {
    /// Makes an empty table. `subject` names the file, `unit` is the unit of the values, and `floor` tells
    /// readers what the values are divided by.
    #[must_use]
    pub fn new(subject: &str, unit: &str, floor: &str) -> Self {
        Self { subject: subject.to_owned(), unit: unit.to_owned(), floor: floor.to_owned(), rows: Vec::new() }
    }

    /// Adds one round of a case, and its floor as measured in that round. Rows stand in the order in which
    /// their cases were first mentioned.
    pub fn record(&mut self, case: &str, value: f64, floor: f64) {
        let unit = self.unit.clone();
        self.record_in(case, value, floor, &unit);
    }

    /// Adds one round of a case whose value and floor have a unit of their own.
    pub fn record_in(&mut self, case: &str, value: f64, floor: f64, unit: &str) {
        let row = self.row_of(case, unit);
        unit.clone_into(&mut row.unit);
        row.values.push(value);
        row.floors.push(floor);
    }

    /// Adds one round of a figure. A figure is a case that has its own unit and no floor.
    pub fn figure(&mut self, case: &str, value: f64, unit: &str) {
        let row = self.row_of(case, unit);
        unit.clone_into(&mut row.unit);
        row.values.push(value);
    }

    /// Announces a case, and the highest that its ratio should be; for a figure, its value. The order of the
    /// announcements is the order of the rows. The goal is only shown beside the row, and a missed goal is no
    /// error. A row without values is not shown.
    pub fn row(&mut self, case: &str, goal: Option<f64>) {
        let unit = self.unit.clone();
        self.row_of(case, &unit).goal = goal.map(|max| Goal { max, is_for_value: false });
    }

    /// Announces a case whose goal is for its value, although the case has a floor too.
    pub fn row_with_value_goal(&mut self, case: &str, goal: f64) {
        let unit = self.unit.clone();
        self.row_of(case, &unit).goal = Some(Goal { max: goal, is_for_value: true });
    }

    fn row_of(&mut self, case: &str, unit: &str) -> &mut Row {
        let at = self.rows.iter().position(|row| row.case == case).unwrap_or_else(|| {
            let (case, unit) = (case.to_owned(), unit.to_owned());
            self.rows.push(Row { case, unit, goal: None, values: Vec::new(), floors: Vec::new() });
            self.rows.len() - 1
        });
        &mut self.rows[at]
    }

    /// Prints the table and writes its JSON.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn finish(&self, options: &Options) -> std::io::Result<()> {
        print(&self.text(options));
        let folder = output_folder()?;
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.subject));
        std::fs::write(path, format!("{:#}\n", self.json(options)))
    }

    fn filled(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.values.is_empty())
    }

    fn text(&self, options: &Options) -> String {
        let mut lines = vec![format!("\n{}: {}; the ratio is to {}", self.subject, self.unit, self.floor)];
        if options.short {
            lines.push(
                "short run: it shows that the benchmark works, and its figures have no meaning".to_owned(),
            );
        }
        let width = self.filled().map(|row| row.case.chars().count()).max().unwrap_or(0);
        lines.push(format!(
            "{:<width$} {:>12} {:<8} {:>8} {:>17} {:>7}",
            "case", "median", "", "ratio", "quartiles", "goal"
        ));
        lines.extend(self.filled().map(|row| row.text(width)));
        lines.join("\n") + "\n"
    }

    fn json(&self, options: &Options) -> Value {
        json!({
            "subject": self.subject,
            "unit": self.unit,
            "floor": self.floor,
            "short": options.short,
            "rows": self.filled().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

impl Goal {
    fn text(self, unit: &str) -> String {
        if self.is_for_value { format!("≤ {} {unit}", self.max) } else { format!("≤ {}", self.max) }
    }
}

impl Row {
    fn ratios(&self) -> Vec<f64> {
        self.values.iter().zip(&self.floors).map(|(value, floor)| value / floor).collect()
    }

    fn text(&self, width: usize) -> String {
        let ratios = Spread::from_values(&self.ratios());
        let shown = ratios.or_else(|| Spread::from_values(&self.values));
        let ratio = ratios.map_or_else(String::new, |ratio| format_number(ratio.median));
        let quartiles = shown.map_or_else(String::new, |spread| {
            format!("{} – {}", format_number(spread.low), format_number(spread.high))
        });
        let goal = self.goal.map_or_else(String::new, |goal| goal.text(&self.unit));
        let line = format!(
            "{:<width$} {:>12} {:<8} {:>8} {:>17} {:>7}",
            self.case,
            format_number(median(&self.values)),
            self.unit,
            ratio,
            quartiles,
            goal
        );
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        let spread = |values: &[f64]| {
            Spread::from_values(values)
                .map(|spread| json!({ "low": spread.low, "median": spread.median, "high": spread.high }))
        };
        json!({
            "case": self.case,
            "unit": self.unit,
            "value": spread(&self.values),
            "ratio": spread(&self.ratios()),
            "goal": self.goal.map(|goal| goal.max),
            "goal_is_of_value": self.goal.is_some_and(|goal| goal.is_for_value),
            "values": self.values,
            "floors": self.floors,
        })
    }
}

/// Writes a number with about three significant digits.
fn format_number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.0e}"),
    }
}

/// Returns `target/benches`, found from this executable, because Cargo puts it into `target/<profile>/deps`.
fn output_folder() -> std::io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).unwrap_or(&executable);
    Ok(target.join("benches"))
}

/// Prints to stdout. An error is ignored, because a reader that has gone away is no reason to fail.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
