//! The way of a failure through the calls that it ends: a call that fails because one of its callees failed passes the
//! failure on.
//!
//! Takes failed calls, callees before their callers; gives for each the callee whose failure it passed on, if there is
//! one, and the path from the call to the one in which the failure began. The texts decide: the text of an error that
//! names its source contains the text of the source, and a panic that unwinds through several calls has one text. Pure.

use crate::limits;
use crate::record::Outcome;

/// The callee whose failure a failed call passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Span of the callee.
    pub caused_by: u64,
    /// Span of the call in which the failure began.
    pub origin: u64,
    /// The functions from the failed call to the one in which the failure began: `checkout ← charge × 5 ← post_charge`.
    pub path: String,
}

/// A failed call, as its caller remembers it.
#[derive(Debug)]
struct Failed {
    site: u32,
    span: u64,
    origin: u64,
    outcome: Outcome,
    text: String,
    path: String,
    /// The number of the caller's calls of this function that failed in the same way.
    times: u32,
}

/// The callees of one call that failed.
#[derive(Debug, Default)]
pub(crate) struct FailedCallees(Vec<Failed>);

/// A call that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedCall<'a> {
    pub(crate) site: u32,
    pub(crate) span: u64,
    pub(crate) outcome: Outcome,
    /// The text of the error or panic, or nothing.
    pub(crate) text: &'a str,
    /// The name of the call's function.
    pub(crate) name: &'a str,
}

impl FailedCallees {
    /// Returns the number of callees that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all callees.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the cause of the failure of a call with these callees: the last callee whose failure the call may have
    /// passed on; `None` if there is none.
    pub(crate) fn cause_of(&self, call: &FailedCall<'_>) -> Option<Cause> {
        let callee = self.0.iter().rev().find(|callee| callee.is_passed_on_by(call))?;
        let own = short_name(call.name);
        let below = match callee.times {
            1 => callee.path.clone(),
            // The name of the callee's own function comes first in its path.
            times => match callee.path.split_once(ARROW) {
                Some((name, rest)) => format!("{name} × {times}{ARROW}{rest}"),
                None => format!("{} × {times}", callee.path),
            },
        };
        Some(Cause { caused_by: callee.span, origin: callee.origin, path: join(own, &below) })
    }

    /// Remembers a callee that failed. Callees of one function that failed with the same text are kept as one, with
    /// their number.
    pub(crate) fn remember(&mut self, call: &FailedCall<'_>, cause: Option<&Cause>) {
        let text = cut(call.text, limits::FAILURE_TEXT_BYTES_MAX);
        let origin = cause.map_or(call.span, |cause| cause.origin);
        let same = |failed: &Failed| {
            (failed.site, failed.outcome, failed.text.as_str()) == (call.site, call.outcome, text)
        };
        let path = cause.map_or_else(|| short_name(call.name).to_owned(), |cause| cause.path.clone());
        if let Some(at) = self.0.iter().position(same) {
            // Callees lie in the order of their last failures.
            let failed = self.0.remove(at);
            let times = failed.times.saturating_add(1);
            self.0.push(Failed { span: call.span, origin, path, times, ..failed });
            return;
        }
        if self.0.len() >= limits::FAILED_CALLEES_MAX {
            self.0.remove(0);
        }
        let (site, span, outcome) = (call.site, call.span, call.outcome);
        self.0.push(Failed { site, span, origin, outcome, text: text.to_owned(), path, times: 1 });
    }
}

impl Failed {
    /// Returns true if the caller failed because this callee did.
    fn is_passed_on_by(&self, caller: &FailedCall<'_>) -> bool {
        match (self.outcome, caller.outcome) {
            (Outcome::Cancelled, Outcome::Cancelled) => true,
            (Outcome::Cancelled, _) | (_, Outcome::Cancelled) => false,
            (Outcome::Panic, Outcome::Panic)
                if self.text == cut(caller.text, limits::FAILURE_TEXT_BYTES_MAX) =>
            {
                true
            }
            _ => {
                let (below, above) =
                    (message(self.outcome, &self.text), message(caller.outcome, caller.text));
                holds(above, below) || holds(below, above)
            }
        }
    }
}

/// Returns true if `part` is the whole text, or if the text contains it and it is long enough not to be found by
/// chance.
fn holds(text: &str, part: &str) -> bool {
    !part.is_empty() && (text == part || part.len() >= TEXT_BYTES_MIN && text.contains(part))
}

/// Returns the message in the text of a failure, without the place of a panic and the mark of a text that was cut,
/// which follow it.
fn message(outcome: Outcome, text: &str) -> &str {
    let text = text.trim().trim_end_matches('…');
    match text.rsplit_once(", ") {
        Some((message, place)) if outcome == Outcome::Panic && is_place(place) => message,
        _ => text,
    }
}

/// Returns true if a text ends like the place of a panic, such as `src/main.rs:10:5`.
fn is_place(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.rsplitn(3, ':');
    parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(|file| !file.is_empty())
}

/// Returns the last part of a function's name, with its type if it has one: `Book::insert` of
/// `shop::orders::Book::insert`.
pub(crate) fn short_name(name: &str) -> &str {
    let last = name.rfind("::").map_or(0, |at| at + 2);
    let Some(before) = last.checked_sub(2) else { return name };
    let start = name[..before].rfind("::").map_or(0, |at| at + 2);
    if name[start..].starts_with(|first: char| first.is_uppercase() || first == '<') {
        &name[start..]
    } else {
        &name[last..]
    }
}

/// Returns a path with a function before it. The middle of a long path is left out, because its ends tell most.
fn join(name: &str, below: &str) -> String {
    let path = format!("{name}{ARROW}{below}");
    if path.len() <= limits::FAILURE_PATH_BYTES_MAX {
        return path;
    }
    let rest: Vec<&str> = below.split(ARROW).collect();
    let kept = rest.iter().rev().take(PATH_END).rev().copied().collect::<Vec<_>>().join(ARROW);
    let kept = cut_start(&kept, limits::FAILURE_PATH_BYTES_MAX / 2);
    format!("{}{ARROW}…{ARROW}{kept}", cut(name, limits::FAILURE_PATH_BYTES_MAX / 4))
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn cut_start(text: &str, bytes_max: usize) -> &str {
    let start = (text.len().saturating_sub(bytes_max)..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(text.len())..]
}

/// The text between a function and the callee whose failure it passed on.
const ARROW: &str = " ← ";
/// The number of functions at the end of a path that stay if its middle is left out.
const PATH_END: usize = 4;
/// The fewest bytes of a text that is searched for in others. A shorter text, such as `1` or `no`, is found in too many
/// others by chance.
const TEXT_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use Outcome::{Cancelled, Error, Panic};

    fn failed<'a>(site: u32, outcome: Outcome, text: &'a str, name: &'a str) -> FailedCall<'a> {
        FailedCall { site, span: u64::from(site), outcome, text, name }
    }

    fn is_passed_on(below: (Outcome, &str), above: (Outcome, &str)) -> bool {
        let mut callees = FailedCallees::default();
        callees.remember(&failed(2, below.0, below.1, "below"), None);
        callees.cause_of(&failed(1, above.0, above.1, "above")).is_some()
    }

    #[test]
    fn a_caller_passes_on_what_its_text_tells_of_the_callee() {
        let cases = [
            ((Error, "card declined"), (Error, "checkout: card declined"), true),
            ((Error, "card declined"), (Error, "card declined"), true),
            (
                (Error, "db: connection refused (os error 111)"),
                (Error, "connection refused (os error 111)"),
                true,
            ),
            ((Error, "NotFound"), (Error, "Checkout(NotFound)"), true),
            ((Error, "card declined"), (Error, "no such order"), false),
            ((Error, "no"), (Error, "unknown"), false),
            ((Error, "no"), (Error, "no"), true),
            ((Error, ""), (Error, ""), false),
            ((Error, ""), (Error, "no such order"), false),
            (
                (Error, "a text that was cut at some pl…"),
                (Error, "outer: a text that was cut at some place"),
                true,
            ),
            ((Panic, "boom, src/a.rs:1:2"), (Panic, "boom, src/a.rs:1:2"), true),
            ((Panic, "boom, src/a.rs:1:2"), (Panic, "other, src/b.rs:9:2"), false),
            (
                (Panic, "boom in task, src/a.rs:1:2"),
                (Error, "task 7 panicked with message \"boom in task\""),
                true,
            ),
            (
                (Error, "NotFound"),
                (Panic, "called `Result::unwrap()` on an `Err` value: NotFound, src/a.rs:1:2"),
                true,
            ),
            ((Cancelled, ""), (Cancelled, ""), true),
            ((Cancelled, ""), (Error, "timed out"), false),
            ((Error, "timed out"), (Cancelled, ""), false),
        ];
        for (below, above, expected) in cases {
            assert_eq!(is_passed_on(below, above), expected, "{below:?} {above:?}");
        }
    }

    #[test]
    fn a_message_loses_the_place_of_a_panic_and_nothing_else() {
        for (text, expected) in [
            ("out of range, src/main.rs:10:5", "out of range"),
            ("no room for 3, 5", "no room for 3, 5"),
            ("lost, 4:5", "lost, 4:5"),
            ("lost, :4:5", "lost, :4:5"),
            ("lost, src/main.rs:10:x", "lost, src/main.rs:10:x"),
            ("lost, C:\\src\\main.rs:1:2", "lost"),
        ] {
            assert_eq!(message(Panic, text), expected);
            assert_eq!(message(Error, text), text);
        }
    }

    #[test]
    fn a_path_leads_from_the_caller_to_where_the_failure_began_and_counts_retries() {
        let (mut charge, mut checkout, mut order) =
            (FailedCallees::default(), FailedCallees::default(), FailedCallees::default());
        for attempt in 0..5 {
            charge.clear();
            let post = FailedCall {
                span: 100 + attempt,
                ..failed(4, Error, "HTTP 503", "pay::Client::post_charge")
            };
            charge.remember(&post, None);
            let call =
                FailedCall { span: 200 + attempt, ..failed(3, Error, "charge: HTTP 503", "pay::charge") };
            let cause = charge.cause_of(&call).unwrap();
            assert_eq!(
                (cause.caused_by, cause.path.as_str()),
                (100 + attempt, "charge ← Client::post_charge")
            );
            checkout.remember(&call, Some(&cause));
        }
        let call = failed(2, Error, "checkout: charge: HTTP 503", "shop::checkout");
        let cause = checkout.cause_of(&call).unwrap();
        assert_eq!((cause.caused_by, cause.origin), (204, 104));
        order.remember(&call, Some(&cause));
        let cause = order.cause_of(&failed(1, Error, "checkout: charge: HTTP 503", "create_order")).unwrap();
        assert_eq!(cause.path, "create_order ← checkout ← charge × 5 ← Client::post_charge");
        assert_eq!((cause.caused_by, cause.origin), (2, 104));
    }

    #[test]
    fn the_callee_that_failed_last_is_the_cause_though_it_had_failed_in_the_same_way_before() {
        let mut callees = FailedCallees::default();
        let origins = ["x::lookup", "x::connect"].map(|name| {
            let mut below = FailedCallees::default();
            below.remember(&failed(9, Error, "HTTP 503", name), None);
            below.cause_of(&failed(2, Error, "HTTP 503", "x::fetch")).unwrap()
        });
        let fetch = |span| FailedCall { span, ..failed(2, Error, "HTTP 503", "x::fetch") };
        callees.remember(&fetch(20), Some(&origins[0]));
        callees.remember(&failed(3, Error, "HTTP 503", "x::cached"), None);
        callees.remember(&fetch(21), Some(&Cause { origin: 90, ..origins[1].clone() }));
        let cause = callees.cause_of(&failed(1, Error, "HTTP 503", "x::load")).unwrap();
        assert_eq!((cause.caused_by, cause.origin), (21, 90));
        assert_eq!(cause.path, "load ← fetch × 2 ← connect");
    }

    #[test]
    fn a_path_of_any_length_is_bounded_and_keeps_both_ends() {
        let mut cause = None;
        for depth in 0..2000 {
            let (below, name) = (FailedCallees::default(), format!("level_{depth}_ä"));
            let mut callees = below;
            callees.remember(&failed(depth, Error, "the same text", &name), cause.as_ref());
            cause = callees.cause_of(&failed(
                depth + 1,
                Error,
                "the same text",
                &format!("level_{}_ä", depth + 1),
            ));
            let path = &cause.as_ref().unwrap().path;
            assert!(path.len() <= limits::FAILURE_PATH_BYTES_MAX + 16, "{path}");
            assert!(
                path.starts_with(&format!("level_{}_ä ← ", depth + 1)) && path.ends_with("level_0_ä"),
                "{path}"
            );
        }
    }

    #[test]
    fn the_failures_that_are_remembered_are_bounded() {
        let mut callees = FailedCallees::default();
        for site in 0..1000 {
            callees.remember(&failed(site, Error, &"x".repeat(site as usize), "f"), None);
        }
        assert_eq!(callees.len(), limits::FAILED_CALLEES_MAX);
        assert!(callees.0.iter().all(|failed| failed.text.len() <= limits::FAILURE_TEXT_BYTES_MAX));
    }
}
