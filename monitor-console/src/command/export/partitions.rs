//! A file for each hour or day of rows, in folders whose names say which: `date=2026-11-30/hour=03`.
//!
//! Takes the rows of a view and a folder; gives a file for each part of time that has rows. The names of the folders
//! are those of Hive, which DuckDB, Polars and Spark read as columns. Either all files are written or none is. The
//! file does not know the form in which rows are written.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::reserve;
use super::rows::Rows;
use super::target::Readers;
use crate::arguments::PartName;
use crate::model::period::Period;
use crate::model::views;
use crate::stores::Stores;
use crate::{terminal, units};

const HOUR_NS: i64 = 3_600_000_000_000;

/// The value by which Hive names the folder of rows whose partition column is NULL.
const NO_TIME: &str = "__HIVE_DEFAULT_PARTITION__";

/// Writes a file for each part of time that has rows; `fill` writes the rows of a file.
pub(super) fn write(
    stores: &Stores,
    rows: &Rows<'_>,
    by: PartName,
    folder: &Path,
    is_forced: bool,
    fill: impl Fn(&Rows<'_>, &mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    if folder.is_file() {
        bail!("{} is a file: name a folder, because --by writes several files", folder.display());
    }
    let rows = &Rows { period: widen(rows.period, by), ..rows.clone() };
    let (time, parts) = list_parts(stores, rows, by)?;
    // Folders are dropped after the files in them.
    let mut folders = CreatedFolders::default();
    let mut targets = Vec::new();
    for part in &parts {
        let folder = folder.join(part.folder(by));
        folders.create(&folder)?;
        let (target, _) = reserve(stores, &folder.join(file_name(rows.view)), is_forced, Readers::User)?;
        targets.push(target);
    }
    for (part, target) in parts.iter().zip(&targets) {
        let path = target.written();
        let open = OpenOptions::new().write(true).open(path);
        let mut out = BufWriter::new(open.with_context(|| format!("cannot write {}", path.display()))?);
        fill(&part.select(rows, by, time), &mut out)?;
        out.flush().with_context(|| format!("cannot write {}", path.display()))?;
    }
    let files = units::format_quantity(targets.len(), "file", "files");
    targets.into_iter().try_for_each(|target| target.commit(io::sink()))?;
    terminal::print_note(&format!("wrote {files} below {}", folder.display()));
    Ok(())
}

/// A part of time: the number of hours or days since the Unix epoch, or `None` for rows without a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part(Option<i64>);

impl Part {
    fn period(number: i64, by: PartName) -> Period {
        let from_ns = number.saturating_mul(length_ns(by));
        Period { from_ns, until_ns: from_ns.saturating_add(length_ns(by) - 1) }
    }

    /// Returns the folder of the part, below that of the export.
    fn folder(self, by: PartName) -> PathBuf {
        let (date, hour) = match self.0 {
            Some(number) => {
                let start = units::format_date_and_time(Self::period(number, by).from_ns);
                (start[..10].to_owned(), start[11..13].to_owned())
            }
            None => (NO_TIME.to_owned(), NO_TIME.to_owned()),
        };
        let date = PathBuf::from(format!("date={date}"));
        match by {
            PartName::Hour => date.join(format!("hour={hour}")),
            PartName::Day => date,
        }
    }

    /// Returns those of the rows that belong to this part.
    fn select<'a>(self, rows: &Rows<'a>, by: PartName, time: &str) -> Rows<'a> {
        let mut rows = rows.clone();
        if let Some(number) = self.0 {
            rows.period = Self::period(number, by);
        } else {
            let others = rows.condition.map_or_else(String::new, |condition| format!("({condition}\n) AND "));
            rows.condition = Some(format!("{others}{time} IS NULL"));
        }
        rows
    }
}

fn length_ns(by: PartName) -> i64 {
    match by {
        PartName::Hour => HOUR_NS,
        PartName::Day => 24 * HOUR_NS,
    }
}

/// Returns the span of all parts that have time in common with this span. Then a file that replaces an older one
/// holds the whole hour too.
fn widen(period: Period, by: PartName) -> Period {
    let part_of = |ns: i64| Part::period(ns.div_euclid(length_ns(by)), by);
    Period {
        from_ns: if period.from_ns == i64::MIN { i64::MIN } else { part_of(period.from_ns).from_ns },
        until_ns: if period.until_ns == i64::MAX { i64::MAX } else { part_of(period.until_ns).until_ns },
    }
}

/// Returns the column that divides the rows, and the parts that have rows.
fn list_parts(stores: &Stores, rows: &Rows<'_>, by: PartName) -> Result<(&'static str, BTreeSet<Part>)> {
    let mut parts = BTreeSet::new();
    let mut found = None;
    for store in stores.list() {
        let selection = views::select(store, rows.view, rows.period, rows.condition.as_deref())?;
        let Some(time) = views::find_time(&selection.columns) else {
            bail!("`{}` has no column of a time, so its rows have no hour: leave out --by", rows.view);
        };
        found = Some(time);
        let found_parts = views::find_parts(store, &selection, time, length_ns(by))
            .with_context(|| rows.describe_failure())?;
        parts.extend(found_parts.numbers.into_iter().map(Part));
        if let Some(kind) = found_parts.other_kind {
            bail!(
                "the column `{time}` holds moments, but a value of it is a {kind}: leave out such rows with --where"
            );
        }
    }
    Ok((found.unwrap_or_default(), parts))
}

/// Returns the name of the file in each folder. The name of a view may hold any character.
fn file_name(view: &str) -> String {
    let name: String =
        view.chars().map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '_' }).collect();
    format!("{name}.parquet")
}

/// Folders that were created. Those that are empty at the end are removed.
#[derive(Debug, Default)]
struct CreatedFolders(Vec<PathBuf>);

impl CreatedFolders {
    /// Creates a folder, and those of its ancestors that are missing.
    fn create(&mut self, folder: &Path) -> Result<()> {
        let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        for path in missing.collect::<Vec<_>>().into_iter().rev() {
            fs::create_dir(path).with_context(|| format!("cannot create the folder {}", path.display()))?;
            self.0.push(path.to_owned());
        }
        Ok(())
    }
}

impl Drop for CreatedFolders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_part_names_its_day_and_hour_in_utc() {
        let hour = 490_251;
        let table = [
            (Some(hour), PartName::Hour, "date=2025-12-05/hour=03"),
            (Some(hour / 24), PartName::Day, "date=2025-12-05"),
            (Some(0), PartName::Hour, "date=1970-01-01/hour=00"),
            (Some(-1), PartName::Hour, "date=1969-12-31/hour=23"),
            (None, PartName::Hour, "date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__"),
            (None, PartName::Day, "date=__HIVE_DEFAULT_PARTITION__"),
        ];
        for (number, by, expected) in table {
            assert_eq!(Part(number).folder(by), Path::new(expected));
        }
    }

    #[test]
    fn a_span_is_widened_to_whole_parts() {
        let table = [
            ((HOUR_NS + 5, 2 * HOUR_NS + 5), (HOUR_NS, 3 * HOUR_NS - 1)),
            ((HOUR_NS, 2 * HOUR_NS - 1), (HOUR_NS, 2 * HOUR_NS - 1)),
            ((-1, 0), (-HOUR_NS, HOUR_NS - 1)),
            ((i64::MIN, 7), (i64::MIN, HOUR_NS - 1)),
            ((7, i64::MAX), (0, i64::MAX)),
        ];
        let period = |(from_ns, until_ns)| Period { from_ns, until_ns };
        for (given, expected) in table {
            assert_eq!(widen(period(given), PartName::Hour), period(expected));
        }
        assert_eq!(widen(period((HOUR_NS, HOUR_NS)), PartName::Day), period((0, 24 * HOUR_NS - 1)));
    }

    #[test]
    fn a_part_has_the_rows_of_its_span_and_the_condition_of_the_export() {
        let rows =
            Rows { view: "calls", period: Period::WHOLE, condition: Some("failed -- only".to_owned()) };
        let second = Part(Some(1)).select(&rows, PartName::Hour, "start_ns");
        assert_eq!(second.period, Period { from_ns: HOUR_NS, until_ns: 2 * HOUR_NS - 1 });
        assert_eq!(second.condition, rows.condition);
        let timeless = Part(None).select(&rows, PartName::Hour, "start_ns");
        assert_eq!(timeless.condition.as_deref(), Some("(failed -- only\n) AND start_ns IS NULL"));
    }

    #[test]
    fn the_name_of_a_view_leads_to_no_other_folder() {
        assert_eq!(file_name("calls_2"), "calls_2.parquet");
        assert_eq!(file_name("../Zürich/a b\\c"), "___Zürich_a_b_c.parquet");
    }
}
