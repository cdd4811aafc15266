//! The functions that a store contains.

use anyhow::Result;

use crate::pattern::Pattern;
use crate::store::Store;

/// Returns the names of all functions that the store knows.
pub(crate) fn read_names(store: &Store) -> Result<Vec<String>> {
    let mut names = Vec::new();
    store.read_rows("SELECT DISTINCT name FROM function", [], |row| {
        names.push(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned());
        Ok(())
    })?;
    Ok(names)
}

/// Counts the names of functions that one of two GLOBs selects.
pub(crate) fn count_names(store: &Store, globs: [String; 2]) -> Result<i64> {
    let sql = "SELECT COUNT(DISTINCT name) FROM function WHERE name GLOB ?1 OR name GLOB ?2";
    Ok(store.read_integer(sql, globs)?.unwrap_or(0))
}

/// Returns the names of the functions that a pattern selects, in alphabetical order.
pub(crate) fn find(store: &Store, pattern: &Pattern) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let sql = "SELECT DISTINCT name FROM function WHERE name GLOB ?1 OR name GLOB ?2 ORDER BY name";
    store.read_rows(sql, pattern.to_globs(), |row| {
        names.push(String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned());
        Ok(())
    })?;
    Ok(names)
}
