//! Several stores that are read together: each file once, whatever its names are, and each with a short label.
//!
//! A store that cannot be opened becomes a remark, so that the others are still shown; if none can be opened, that is an
//! error. The stores stay separate connections, because SQLite attaches at most ten files: readers add and sort what each
//! store gives. Ids are unique only within their store.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use monitor_runtime::platform::file_system::file_identity;

use crate::report::{Cell, Column, Report, Unit};
use crate::store::Store;

/// The stores that a command reads; at least one.
#[allow(clippy::struct_field_names, reason = "the stores are what the struct holds")]
pub(crate) struct Stores {
    stores: Vec<Store>,
    labels: Vec<String>,
    remarks: Vec<String>,
}

/// The answers of stores, each with the position of its store, and a remark about each store that gave none.
type Answers<T> = (Vec<(usize, T)>, Vec<String>);

impl Stores {
    /// Opens each file for reading, each once. Fails if none can be opened.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut stores: Vec<Store> = Vec::new();
        let mut remarks = Vec::new();
        let mut first_error = None;
        for path in list_once(paths) {
            match Store::open(path) {
                Ok(store) => stores.push(store),
                Err(error) => {
                    remarks.push(format!("left out: {error:#}"));
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if stores.is_empty() && remarks.len() == 1 => return Err(error),
            Some(_) if stores.is_empty() => {
                return Err(anyhow!("no store can be read: {}", remarks.join("; ")));
            }
            None if stores.is_empty() => return Err(anyhow!("no store is named")),
            _ => {}
        }
        let labels = label(&stores.iter().map(Store::path).collect::<Vec<_>>());
        Ok(Self { stores, labels, remarks })
    }

    /// Returns the stores, in the order in which they were named.
    pub(crate) fn list(&self) -> Vec<&Store> {
        self.stores.iter().collect()
    }

    /// Returns each store with its label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Store, &str)> {
        self.stores.iter().zip(self.labels.iter().map(String::as_str))
    }

    /// Returns the store at a position; the first store if there is none.
    pub(crate) fn get_or_first(&self, position: usize) -> &Store {
        self.stores.get(position).unwrap_or(&self.stores[0])
    }

    /// Returns the label of the store at a position: its file name, or its whole path if two file names are equal.
    pub(crate) fn label(&self, position: usize) -> &str {
        self.labels.get(position).map_or("", String::as_str)
    }

    /// Returns true if more than one store is read.
    pub(crate) fn are_several(&self) -> bool {
        self.stores.len() > 1
    }

    /// Returns a sentence about each store that was left out.
    pub(crate) fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Names the stores for a heading: `store: PATH`, or `3 stores: a.db, b.db, c.db`.
    pub(crate) fn describe(&self) -> String {
        match self.stores.as_slice() {
            [store] => format!("store: {}", store.path().display()),
            stores => format!("{} stores: {}", stores.len(), self.labels.join(", ")),
        }
    }

    /// Reads a report of each store and joins the rows. With several stores each row gains the column `store`, and a store
    /// whose report fails becomes a remark unless all fail.
    pub(crate) fn join(
        &self,
        mut read: impl FnMut(&Store) -> Result<Report>,
    ) -> Result<(Report, Vec<String>)> {
        let (answers, failures) = self.read_each(&mut read)?;
        let mut joined: Option<Report> = None;
        for (position, mut report) in answers {
            self.add_store(&mut report, self.label(position));
            match &mut joined {
                Some(joined) => align(joined, report),
                None => joined = Some(report),
            }
        }
        Ok((joined.unwrap_or_default(), failures))
    }

    /// Reads an answer from each store. With several stores, a store whose answer fails becomes a remark unless all fail.
    pub(crate) fn read_each<T>(&self, mut read: impl FnMut(&Store) -> Result<T>) -> Result<Answers<T>> {
        let (mut answers, mut failures) = (Vec::new(), Vec::new());
        for (position, (store, label)) in self.iter().enumerate() {
            match read(store) {
                Ok(answer) => answers.push((position, answer)),
                Err(error) if self.are_several() => failures.push(format!("{label}: {error:#}")),
                Err(error) => return Err(error),
            }
        }
        if answers.is_empty() { Err(anyhow!("{}", failures.join("; "))) } else { Ok((answers, failures)) }
    }

    /// Adds the column `store` to a report whose rows all come from one store, if several are read.
    pub(crate) fn add_store(&self, report: &mut Report, label: &str) {
        if self.are_several() {
            report.columns.push(store_column());
            report.rows.iter_mut().for_each(|row| row.push(label.to_owned().into()));
        }
    }
}

/// Returns the column that names the store of a row.
pub(crate) fn store_column() -> Column {
    Column::titled("store", "STORE", Unit::Text)
}

/// Appends the rows of another report by the names of its columns. A column that only one of them has is empty in the rows of
/// the other.
fn align(joined: &mut Report, other: Report) {
    let is_same = |a: &Column, b: &Column| a.name == b.name && a.title == b.title;
    let places: Vec<usize> = other
        .columns
        .iter()
        .map(|column| {
            joined.columns.iter().position(|known| is_same(known, column)).unwrap_or_else(|| {
                joined.columns.push(column.clone());
                joined.rows.iter_mut().for_each(|row| row.push(empty()));
                joined.columns.len() - 1
            })
        })
        .collect();
    for row in other.rows {
        let mut cells = vec![empty(); joined.columns.len()];
        for (place, cell) in places.iter().zip(row) {
            cells[*place] = cell;
        }
        joined.rows.push(cells);
    }
}

fn empty() -> Cell {
    rusqlite::types::Value::Null.into()
}

/// Returns the paths without those that name a file that an earlier one names.
fn list_once(paths: &[PathBuf]) -> Vec<&Path> {
    let mut files = HashSet::new();
    let mut names = HashSet::new();
    let is_new = |path: &&Path| {
        let is_new_name = names.insert(path.to_path_buf());
        file_identity(path).map_or(is_new_name, |file| files.insert(file) && is_new_name)
    };
    paths.iter().map(PathBuf::as_path).filter(is_new).collect()
}

/// Returns a label for each path: the file name, or the path itself if file names are equal.
fn label(paths: &[&Path]) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    let is_unique = |wanted: &String| names.iter().filter(|name| *name == wanted).count() == 1;
    let labels = paths.iter().zip(&names);
    labels
        .map(|(path, name)| if is_unique(name) { name.clone() } else { path.display().to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_file_is_named_once_and_labels_tell_files_apart() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.db", "b.db"].map(|name| folder.path().join(name));
        std::fs::write(&a, "a").unwrap();
        std::fs::hard_link(&a, &b).unwrap();
        let missing = folder.path().join("missing.db");
        let paths = [a.clone(), b, a.clone(), missing.clone(), missing.clone()];
        assert_eq!(list_once(&paths), [a.as_path(), missing.as_path()]);
        let paths = ["/x/a.db", "/y/a.db", "/x/b.db"].map(Path::new);
        assert_eq!(label(&paths), ["/x/a.db", "/y/a.db", "b.db"]);
    }

    #[test]
    fn rows_are_joined_by_the_names_of_their_columns() {
        let report = |names: [&str; 2], values: [i64; 2]| Report {
            columns: names.map(Column::data).to_vec(),
            rows: vec![values.map(Cell::from).to_vec()],
        };
        let mut joined = report(["a", "b"], [1, 2]);
        align(&mut joined, report(["c", "a"], [3, 4]));
        let names: Vec<_> = joined.columns.iter().filter_map(|column| column.name.clone()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let numbers = |row: &Vec<Cell>| row.iter().map(Cell::to_integer).collect::<Vec<_>>();
        let rows: Vec<_> = joined.rows.iter().map(numbers).collect();
        assert_eq!(rows, [[Some(1), Some(2), None], [Some(4), None, Some(3)]]);
    }
}
