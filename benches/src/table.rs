//! The table of a subject: one row per case, with the median and the quartiles of its rounds, as text
//! on stdout and as JSON, with every round, in `target/benches/<subject>.json`.
//!
//! A ratio is formed round by round, from a case and its floor measured next to each other, and only
//! then is the median taken. The table knows no times: values are numbers in the row's unit.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Options, Spread};

/// The rows of a subject.
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
    /// As many as values, or none: then the row is a figure of its own.
    floors: Vec<f64>,
}

/// The most that a ratio, or the value itself, should be.
#[derive(Debug, Clone, Copy)]
struct Goal {
    most: f64,
    of_value: bool,
}

impl Table {
    /// `subject` names the file; `unit` is that of the values, `floor` says what they are divided by.
    #[must_use]
    pub fn new(subject: &str, unit: &str, floor: &str) -> Self {
        Self { subject: subject.to_owned(), unit: unit.to_owned(), floor: floor.to_owned(), rows: Vec::new() }
    }

    /// Adds a round of a case, and its floor as measured in that round. Rows stand in the order in
    /// which their cases first came.
    pub fn record(&mut self, case: &str, value: f64, floor: f64) {
        let unit = self.unit.clone();
        self.record_in(case, value, floor, &unit);
    }

    /// The same in a unit of its own, which is the floor's as well.
    pub fn record_in(&mut self, case: &str, value: f64, floor: f64, unit: &str) {
        let row = self.row_of(case, unit);
        unit.clone_into(&mut row.unit);
        row.values.push(value);
        row.floors.push(floor);
    }

    /// Adds a round of a case that is compared with nothing, in a unit of its own.
    pub fn figure(&mut self, case: &str, value: f64, unit: &str) {
        let row = self.row_of(case, unit);
        unit.clone_into(&mut row.unit);
        row.values.push(value);
    }

    /// Announces a case, and the most that its ratio (of a figure, its value) should be: so rows stand
    /// in an order of choice, and the goal beside them. Nothing is asserted. A row that stays empty is
    /// not shown.
    pub fn row(&mut self, case: &str, goal: Option<f64>) {
        let unit = self.unit.clone();
        self.row_of(case, &unit).goal = goal.map(|most| Goal { most, of_value: false });
    }

    /// The same for a case whose value is to be judged although it has a floor too.
    pub fn row_of_value(&mut self, case: &str, goal: f64) {
        let unit = self.unit.clone();
        self.row_of(case, &unit).goal = Some(Goal { most: goal, of_value: true });
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
    /// Where the file cannot be written.
    pub fn finish(&self, options: &Options) -> std::io::Result<()> {
        say(&self.text(options));
        let folder = output_folder()?;
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.subject));
        std::fs::write(path, format!("{:#}\n", self.json(options)))
    }

    fn filled(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| !row.values.is_empty())
    }

    fn text(&self, options: &Options) -> String {
        let mut lines = vec![format!("\n{}: {} against {}", self.subject, self.unit, self.floor)];
        if options.short {
            lines.push("short form: shows that it runs, the figures mean nothing".to_owned());
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
        if self.of_value {
            format!("≤ {} {unit}", short(self.most))
        } else {
            format!("≤ {}", short(self.most))
        }
    }
}

impl Row {
    fn ratios(&self) -> Vec<f64> {
        self.values.iter().zip(&self.floors).map(|(value, floor)| value / floor).collect()
    }

    fn text(&self, width: usize) -> String {
        let median = Spread::of(&self.values).map_or(f64::NAN, |spread| spread.median);
        let ratios = Spread::of(&self.ratios());
        let shown = ratios.or_else(|| Spread::of(&self.values));
        let ratio = ratios.map_or_else(String::new, |ratio| number(ratio.median));
        let quartiles =
            shown.map_or_else(String::new, |it| format!("{} – {}", number(it.low), number(it.high)));
        let goal = self.goal.map_or_else(String::new, |goal| goal.text(&self.unit));
        let line = format!(
            "{:<width$} {:>12} {:<8} {:>8} {:>17} {:>7}",
            self.case,
            number(median),
            self.unit,
            ratio,
            quartiles,
            goal
        );
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        let spread = |values: &[f64]| {
            Spread::of(values).map(|it| json!({ "low": it.low, "median": it.median, "high": it.high }))
        };
        json!({
            "case": self.case,
            "unit": self.unit,
            "value": spread(&self.values),
            "ratio": spread(&self.ratios()),
            "goal": self.goal.map(|goal| goal.most),
            "goal_is_of_value": self.goal.is_some_and(|goal| goal.of_value),
            "values": self.values,
            "floors": self.floors,
        })
    }
}

/// About three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.0e}"),
    }
}

fn short(value: f64) -> String {
    value.to_string()
}

/// `target/benches`, found from this executable, which Cargo puts into `target/<profile>/deps`.
fn output_folder() -> std::io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let target = executable.ancestors().nth(3).unwrap_or(&executable);
    Ok(target.join("benches"))
}

/// To stdout; a reader that has gone away is no reason to fail.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
