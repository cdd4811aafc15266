//! Addresses: their parameters as values, and links that keep what was chosen.
//!
//! Takes the query of an address; gives values, or an error that says what is allowed. An address is the whole state of
//! a page: it can be sent, and going back works. The file does not know the store.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::Result;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::app::Refusal;
use crate::model::period::Period;
use crate::moment;
use crate::pattern::Pattern;
use crate::{terminal, units};

/// The most parameters of an address that are looked at.
const PARAMETERS_MAX: usize = 64;
/// The parameters that links to other pages keep.
const KEPT: [&str; 8] = ["db", "process", "service", "build", "from", "to", "q", "function"];
/// The parameters that choose functions: by a pattern, and by one name. A link that gives one of them drops the other,
/// and a pattern goes before a name, because a reader typed it.
pub(super) const FILTERS: [&str; 2] = ["q", "function"];
/// The parameters that say which part of a page is shown and how long it may take: a link that narrows the page to
/// other rows leads to its start.
const PASSING: [&str; 2] = [OLDER_THAN, "patient"];
/// The parameter of a list with the id below which the ids of its rows lie.
pub(super) const OLDER_THAN: &str = "older_than";
/// Parameters that had another name in earlier versions, by which bookmarks still pass them: page, former name, present name.
const FORMER_NAMES: [(&str, &str, &str); 1] = [("/calls", "before", OLDER_THAN)];
/// The characters of a segment of a path that need no escape.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// The parameters of an address.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses the query of an address, or the body of a form.
    pub(super) fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// Returns the parameters with the names that the page at this path has for them now.
    pub(super) fn with_present_names(mut self, path: &str) -> Self {
        let page = path.strip_suffix(".json").unwrap_or(path);
        for (_, former, name) in FORMER_NAMES.iter().filter(|(of, ..)| *of == page) {
            for (known, _) in self.0.iter_mut().filter(|(known, _)| known == former) {
                (*name).clone_into(known);
            }
        }
        self
    }

    /// Returns the first value of a parameter; `None` if there is none or it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.whole_text(name).map(str::trim)
    }

    /// Returns all values of a parameter.
    pub(super) fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns true if the parameter is there and its value is not `0`, `no` or `false`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| !matches!(value, "0" | "no" | "false"))
    }

    /// Returns the number that a parameter holds.
    pub(super) fn number<N: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        allowed: RangeInclusive<N>,
    ) -> Result<Option<N>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(Refusal::wrong(format!(
                "`{name}` is `{text}`, and allowed is a number from {} to {}",
                allowed.start(),
                allowed.end()
            ))),
        }
    }

    /// Returns the value that a parameter holds, as a parser of the command line reads it.
    pub(super) fn read<T, E: Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> std::result::Result<T, E>,
    ) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse(text).map(Some).map_err(|reason| Refusal::wrong(format!("`{name}` is `{text}`: {reason}")))
    }

    /// Returns the first value of a parameter with the blanks around it; `None` if there is none or it is blank.
    fn whole_text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.trim().is_empty())
    }

    /// Returns the choice of functions.
    pub(super) fn pattern(&self) -> Result<Option<Pattern>> {
        let typed = self.read("q", str::parse::<Pattern>)?;
        Ok(typed.or_else(|| self.whole_text("function").map(Pattern::exact)))
    }

    /// Returns the span of time between `from` and `to`.
    pub(super) fn period(&self, now_ns: i64) -> Result<Period> {
        let from = self.read("from", |text| parse_moment(text, now_ns))?;
        let to = self.read("to", |text| parse_moment(text, now_ns))?;
        let period = Period {
            from_ns: from.unwrap_or(i64::MIN),
            until_ns: to.unwrap_or(if from.is_some() { units::end_of_span() } else { i64::MAX }),
        };
        if period.from_ns >= period.until_ns {
            return Err(Refusal::wrong("`from` is not before `to`".to_owned()));
        }
        Ok(period)
    }
}

/// Parses `-15m`, `15m`, `14:05`, a date and time, or ns since the Unix epoch.
fn parse_moment(text: &str, now_ns: i64) -> std::result::Result<i64, String> {
    let is_number = text.len() > 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        return text.parse().map_err(|_| "it is no number of ns since 1970".to_owned());
    }
    if text == "now" {
        return Ok(now_ns);
    }
    moment::parse(text.strip_prefix('-').unwrap_or(text)).map(|moment| moment.0)
}

/// Returns the value of a parameter of a query.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    form_urlencoded::parse(query?.as_bytes())
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// Returns a query without a parameter.
pub(super) fn without_parameter(query: Option<&str>, name: &str) -> String {
    let pairs =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).filter(|(known, _)| known != name);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Returns the path of an address without its parameters: the address of a form.
pub(super) fn path_of(address: &str) -> &str {
    address.split_once('?').map_or(address, |(path, _)| path)
}

/// Escapes a text as a segment of a path.
pub(super) fn segment(text: &str) -> String {
    // A browser removes a segment of dots alone.
    if text.chars().all(|c| c == '.') {
        return text.replace('.', "%2E");
    }
    // An address that ends with `.json` asks for data.
    let escaped = utf8_percent_encode(text, SEGMENT).to_string();
    match escaped.strip_suffix(".json") {
        Some(start) => format!("{start}%2Ejson"),
        None => escaped,
    }
}

/// Makes links to pages that keep what is chosen on this one.
#[derive(Debug, Clone)]
pub(super) struct Links {
    base_path: String,
    /// The path of the page itself, without the path before all addresses.
    here: String,
    /// The parameters that all pages share: the store, the span, the processes and the functions.
    kept: Vec<(String, String)>,
    /// All parameters of the page itself.
    own: Vec<(String, String)>,
}

impl Links {
    /// Keeps the choices of these parameters, which the page at this path has.
    pub(super) fn new(base_path: &str, here: &str, parameters: &Parameters) -> Self {
        let has_pattern = parameters.text("q").is_some();
        let is_in_force = |name: &str| !(has_pattern && name == "function");
        let kept = KEPT
            .iter()
            .filter(|name| is_in_force(name))
            .filter_map(|name| Some(((*name).to_owned(), parameters.whole_text(name)?.to_owned())));
        let own = parameters.0.iter().filter(|(name, value)| is_in_force(name) && !value.trim().is_empty());
        Self {
            base_path: base_path.to_owned(),
            here: here.to_owned(),
            kept: kept.collect(),
            own: own.cloned().collect(),
        }
    }

    /// Returns the address of a page with more parameters. An empty value removes a parameter.
    pub(super) fn to(&self, path: &str, more: &[(&str, &str)]) -> String {
        self.write(path, &self.kept, more)
    }

    /// Returns the address of this page with other parameters, from the start of its lists. All else that is chosen
    /// stays. An empty value removes a parameter.
    pub(super) fn here(&self, more: &[(&str, &str)]) -> String {
        let passing = PASSING.iter().filter(|name| more.iter().all(|(other, _)| other != *name));
        let more: Vec<_> = more.iter().copied().chain(passing.map(|name| (*name, ""))).collect();
        self.write(&self.here, &self.own, &more)
    }

    /// Returns the address of the data of this page.
    pub(super) fn data(&self) -> String {
        let path = if self.here == "/" { "/now.json".to_owned() } else { format!("{}.json", self.here) };
        self.write(&path, &self.own, &[])
    }

    /// Returns the address of this page without a time limit for its panels.
    pub(super) fn patient(&self) -> String {
        self.write(&self.here, &self.own, &[("patient", "1")])
    }

    fn write(&self, path: &str, kept: &[(String, String)], more: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let is_replaced = |name: &str| {
            let is_filter = FILTERS.contains(&name);
            more.iter().any(|(other, _)| *other == name || (is_filter && FILTERS.contains(other)))
        };
        for (name, value) in kept.iter().filter(|(name, _)| !is_replaced(name)) {
            query.append_pair(name, value);
        }
        for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{mark}{query}", self.base_path)
    }

    /// Returns the address of the page of a function. The pattern is left out, because it is about lists.
    pub(super) fn function(&self, name: &str) -> String {
        self.to(&format!("/f/{}", segment(name)), &[("q", "")])
    }

    /// Returns the address of a list with the rows of one function alone.
    pub(super) fn function_rows(&self, path: &str, name: &str) -> String {
        self.to(path, &[("function", name)])
    }

    /// Returns the address of a call.
    pub(super) fn call(&self, id: i64) -> String {
        self.to(&format!("/call/{id}"), &[("q", "")])
    }

    /// Returns the address of the tree of a call.
    pub(super) fn trace(&self, id: i64) -> String {
        self.to(&format!("/trace/{id}"), &[("q", "")])
    }

    /// Returns the address of the page that runs a statement.
    pub(super) fn sql(&self, statement: &str) -> String {
        self.to("/sql", &[("sql", statement), ("q", "")])
    }

    /// Returns what is chosen for all pages but these parameters, for the hidden fields of a form that leads to another
    /// page.
    pub(super) fn hidden_fields<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let is_wanted = move |name: &str| !names.contains(&name);
        self.kept
            .iter()
            .filter(move |(name, _)| is_wanted(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Shows the hidden fields of a form that leads to this page: all that is chosen stays, except what the form has
    /// fields for. A form cannot send control or invisible characters unchanged, so values with them are left out.
    pub(super) fn fields_here(&self, fields: &[&str]) -> Markup {
        let is_wanted = |name: &str| !fields.contains(&name) && !PASSING.contains(&name);
        let can_be_sent = |text: &str| !text.replace(['\r', '\n'], "").contains(terminal::is_unsafe);
        html! {
            @for (name, value) in self.own.iter().filter(|(name, value)| is_wanted(name) && can_be_sent(name) && can_be_sent(value)) {
                input type="hidden" name=(name) value=(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn links_keep_choices_and_escape_what_they_carry() {
        let parameters = Parameters::parse("db=a+b.db&q=shop%3A%3A*&sort=p99&from=-15m");
        let links = Links::new("/monitor", "/calls", &parameters);
        assert_eq!(
            links.to("/calls", &[("failed", "1")]),
            "/monitor/calls?db=a+b.db&from=-15m&q=shop%3A%3A*&failed=1"
        );
        assert_eq!(links.to("/calls", &[("q", ""), ("db", "x&y")]), "/monitor/calls?from=-15m&db=x%26y");
        assert_eq!(
            links.function("<T as \"A\">/b"),
            "/monitor/f/%3CT%20as%20%22A%22%3E%2Fb?db=a+b.db&from=-15m"
        );
    }

    #[test]
    fn a_link_to_the_page_itself_keeps_all_that_is_chosen_and_begins_its_lists_anew() {
        let links = |path: &str, query: &str| {
            Links::new("/m", path, &Parameters::parse(query).with_present_names(path))
        };
        let calls = links("/calls", "q=a&failed=1&own=x&own=y&older_than=7&patient=1&min=&to=%20");
        assert_eq!(calls.here(&[("q", "b")]), "/m/calls?failed=1&own=x&own=y&q=b");
        assert_eq!(
            calls.here(&[("own", "z"), ("older_than", "5")]),
            "/m/calls?q=a&failed=1&own=z&older_than=5"
        );
        assert_eq!(calls.data(), "/m/calls.json?q=a&failed=1&own=x&own=y&older_than=7&patient=1");
        assert_eq!(calls.patient(), "/m/calls?q=a&failed=1&own=x&own=y&older_than=7&patient=1");
        let fields = calls.fields_here(&["q"]).into_string();
        assert_eq!(fields.matches("<input").count(), 3, "{fields}");
        assert!(fields.contains(r#"name="failed" value="1""#) && fields.contains(r#"value="y""#), "{fields}");
        // The former name of the place in the list of calls is the name of a side elsewhere.
        assert_eq!(links("/calls", "before=7").here(&[("q", "b")]), "/m/calls?q=b");
        assert_eq!(links("/calls", "before=7").data(), "/m/calls.json?older_than=7");
        assert_eq!(links("/diff", "before=7").here(&[("q", "b")]), "/m/diff?before=7&q=b");
        assert_eq!(links("/", "sort=p99").data(), "/m/now.json?sort=p99");
        // A pattern and a name are one choice.
        let named = links("/flame", "function=%20a::b&weight=calls");
        assert_eq!(named.here(&[("q", "b")]), "/m/flame?weight=calls&q=b");
        assert_eq!(named.to("/calls", &[]), "/m/calls?function=+a%3A%3Ab");
        assert_eq!(named.here(&[("function", "")]), "/m/flame?weight=calls");
        let typed = links("/flame", "function=a::b&q=b");
        assert_eq!((typed.here(&[]), typed.call(1)), ("/m/flame?q=b".to_owned(), "/m/call/1".to_owned()));
        assert_eq!(typed.function_rows("/graph", "a"), "/m/graph?function=a");
        let broken = links("/sql", "sql=a%0D%0Ab&x=%00&y=%E2%80%AE").fields_here(&[]).into_string();
        assert_eq!(broken.matches("<input").count(), 1, "{broken}");
    }

    #[test]
    fn a_segment_is_never_a_step_in_folders_nor_a_kind_of_answer() {
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("read.json"), "read%2Ejson");
        assert_eq!(segment("shop::pay"), "shop::pay");
        assert_eq!(segment("a\r\nb"), "a%0D%0Ab");
    }

    #[test]
    fn spans_are_read_in_every_form_and_refused_with_what_is_allowed() {
        let now = units::now_ns();
        let period = |query: &str| Parameters::parse(query).period(now);
        assert!(period("").unwrap().is_whole());
        let quarter = period("from=-15m").unwrap();
        assert!((now - quarter.from_ns - 900_000_000_000).abs() < 5_000_000_000 && quarter.until_ns > now);
        let exact = period("from=1700000000000000000&to=1700000001000000000").unwrap();
        assert_eq!(exact.until_ns - exact.from_ns, 1_000_000_000);
        let rfc = period("from=2026-01-01T00:00:00.5Z&to=2026-01-01T00:01:00Z").unwrap();
        assert_eq!(rfc.until_ns - rfc.from_ns, 59_500_000_000);
        assert!(period("from=soon").unwrap_err().to_string().contains("14:05"));
        assert!(period("from=5m&to=10m").unwrap_err().to_string().contains("not before"));
        let parameters = Parameters::parse("limit=9999");
        assert!(parameters.number("limit", 1..=500).unwrap_err().to_string().contains("from 1 to 500"));
    }
}
