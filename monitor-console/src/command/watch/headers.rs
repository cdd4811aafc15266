//! Headers that a webhook wants with each request, such as a token.
//!
//! Takes the arguments of `--header`; gives names and values. A value comes from a variable or a file, because the
//! arguments of a process can be read by every user of the computer. Files are read for each request, so that a token
//! that is renewed is used. No message contains a value.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use monitor_runtime::config;
use ureq::http::{HeaderName, HeaderValue, header};

use crate::arguments::refuse;

/// The headers that describe the request itself.
const OWN: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION];

/// The places where headers are read.
#[derive(Debug)]
pub(super) struct Headers(Vec<Source>);

#[derive(Debug)]
enum Source {
    /// A line with references to variables.
    Line(String),
    /// A file with a header on each line.
    File(PathBuf),
}

impl Headers {
    /// Takes the arguments, and reads the headers once, so that a mistake ends the command at its start. A mistake in an
    /// argument itself is wrong usage.
    pub(super) fn new(arguments: &[String]) -> Result<Self> {
        let source = |argument: &String| match argument.strip_prefix('@') {
            Some(path) => Source::File(path.into()),
            None => Source::Line(argument.clone()),
        };
        let headers = Self(arguments.iter().map(source).collect());
        for (at, source) in headers.0.iter().enumerate() {
            let Source::Line(line) = source else { continue };
            if let Err(why) = parse(&expand(line)?) {
                refuse(&format!("--header number {}: {why}", at + 1));
            }
        }
        headers.read()?;
        Ok(headers)
    }

    /// Reads the headers.
    pub(super) fn read(&self) -> Result<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = Vec::new();
        for source in &self.0 {
            match source {
                Source::Line(line) => headers.push(parse(&expand(line)?)?),
                Source::File(path) => {
                    let text = std::fs::read_to_string(path)
                        .with_context(|| format!("cannot read the headers in {}", path.display()))?;
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        headers.push(parse(line).with_context(|| format!("in {}", path.display()))?);
                    }
                }
            }
        }
        Ok(headers)
    }
}

/// Replaces references to variables in a line by their values.
fn expand(line: &str) -> Result<String> {
    let variable = |name: &str| config::process_variable(name)?.into_string().ok();
    let name = line.split_once(':').map_or("", |(name, _)| name);
    config::expand(line, &variable).map_err(|why| anyhow!("the header `{}` {why}", name.escape_debug()))
}

/// Parses `Name: value`. A text without a colon may be a value, so it is not repeated.
fn parse(line: &str) -> Result<(HeaderName, HeaderValue)> {
    let Some((name, value)) = line.split_once(':') else {
        bail!("a header is written as `Name: value`, and this one has no `:`");
    };
    let name: HeaderName =
        name.trim().parse().map_err(|_| anyhow!("`{}` is no name of a header", name.escape_debug()))?;
    if OWN.contains(&name) {
        bail!("the header `{name}` describes the request, so it cannot be set");
    }
    let mut value: HeaderValue = value
        .trim()
        .parse()
        .map_err(|_| anyhow!("the value of the header `{name}` holds a character that no header may hold"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value_and_a_mistake_does_not_tell_the_value() {
        let (name, value) = parse("Authorization: Bearer a:b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a:b"));
        assert_eq!(format!("{value:?}"), "Sensitive");
        for wrong in ["secret", "na me: secret", ": secret", "Content-Length: secret", "x: secret\u{7f}"] {
            let why = format!("{:#}", parse(wrong).unwrap_err());
            assert!(!why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_and_a_file_that_is_not_there_are_told_at_the_start() {
        let fail = |argument: &str| format!("{:#}", Headers::new(&[argument.to_owned()]).unwrap_err());
        let unset = fail("Authorization: ${MONITOR_TEST_NO_SUCH_VARIABLE}");
        assert!(unset.contains("needs the variable `MONITOR_TEST_NO_SUCH_VARIABLE`"), "{unset}");
        assert!(fail("@/no/such/file").contains("/no/such/file"));
    }
}
