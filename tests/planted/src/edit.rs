//! Finds a piece of code, however it is wrapped and indented, and replaces it. Pure.

use crate::list::Bug;

/// Returns the file's text with the bug in it.
pub(crate) fn apply(bug: &Bug, text: &str) -> Result<String, String> {
    let fault = |what: &str| format!("the bug \"{}\" cannot be planted: {what} in {}", bug.name, bug.file);
    let from = match &bug.within {
        Some(within) => find_places(text, within).first().ok_or_else(|| fault(&format!("no `{within}`")))?.1,
        None => 0,
    };
    let found = find_places(&text[from..], &bug.find);
    let (start, end) = *found.first().ok_or_else(|| fault(&format!("no `{}`", bug.find)))?;
    if found.len() > 1 && bug.within.is_none() {
        return Err(fault(&format!("`{}` is not unique", bug.find)));
    }
    Ok([&text[..from + start], bug.replace.as_str(), &text[from + end..]].concat())
}

/// Returns the places of the pattern in the text, as starts and ends in bytes. White space in either does not count.
fn find_places(text: &str, pattern: &str) -> Vec<(usize, usize)> {
    let dense = |text: &str| -> Vec<(usize, char)> {
        text.char_indices().filter(|(_, character)| !character.is_whitespace()).collect()
    };
    let (text, pattern) = (dense(text), dense(pattern));
    if pattern.is_empty() {
        return Vec::new();
    }
    let is_at = |window: &&[(usize, char)]| window.iter().zip(&pattern).all(|(one, other)| one.1 == other.1);
    let bounds = |window: &[(usize, char)]| {
        let (first, last) = (window[0], window[window.len() - 1]);
        (first.0, last.0 + last.1.len_utf8())
    };
    text.windows(pattern.len()).filter(is_at).map(bounds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bug(within: Option<&str>, find: &str) -> Bug {
        Bug {
            name: "a bug".into(),
            file: "a.rs".into(),
            within: within.map(str::to_owned),
            find: find.into(),
            replace: "two".into(),
            package: String::new(),
            target: String::new(),
            test: String::new(),
            short: false,
        }
    }

    #[test]
    fn code_is_found_however_it_is_wrapped() {
        assert_eq!(apply(&bug(None, "a(b, c)"), "x = a(\n    b,\n    c\n);").as_deref(), Ok("x = two;"));
    }

    #[test]
    fn the_first_place_behind_an_anchor_is_meant() {
        let text = "fn a() { one } fn b() { one } fn c() { one }";
        let planted = apply(&bug(Some("fn b()"), "one"), text);
        assert_eq!(planted.as_deref(), Ok("fn a() { one } fn b() { two } fn c() { one }"));
    }

    #[test]
    fn what_is_not_there_or_not_unique_is_an_error() {
        assert!(apply(&bug(None, "one"), "none").is_ok());
        assert!(apply(&bug(None, "one"), "one one").is_err());
        assert!(apply(&bug(None, "three"), "one").is_err());
        assert!(apply(&bug(Some("nowhere"), "one"), "one").is_err());
    }
}
