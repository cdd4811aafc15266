//! Decodes a drained record into the row of a call or of a log line: ticks become times, tokens become JSON.
//!
//! Takes a record, the clock and the names of its function's arguments and fields; gives times, texts and the row. A
//! call's busy time never exceeds its duration, nor its self time its busy time. It does not decide whether a call gets
//! a row.

use crate::batch::call_stats::EndedCall;
use std::sync::Arc;

use crate::batch::{CallRow, LogRow, SharedRow};
use crate::capture::{object_text, plain_text, text_and_type, value_text};
use crate::platform::clock::Clock;
use crate::record::{Fold, Header, LogLevel, LogLine, LogTarget, Outcome, unpack};

/// A recorded call that is not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingCall<'a> {
    pub(crate) thread: u32,
    pub(crate) header: Header,
    pub(crate) values: &'a [u64],
    pub(crate) value_bytes: usize,
    /// The sums of the calls that share the record, if there are several.
    pub(crate) fold: Option<Fold>,
    /// The ring that the record was drained from, and the position of its end in that ring.
    pub(crate) end: (u32, u64),
}

/// A log line that is not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingLine<'a> {
    pub(crate) thread: u32,
    pub(crate) line: LogLine,
    pub(crate) body: &'a [u64],
    pub(crate) fields: &'a [u64],
    /// The ring that the record was drained from, and the position of its end in that ring.
    pub(crate) end: (u32, u64),
}

/// A record that becomes a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pending<'a> {
    Call(PendingCall<'a>),
    Line(PendingLine<'a>),
}

impl Pending<'_> {
    /// Returns true for a record that is kept before others if there is no room for all: a call that did not end `ok`,
    /// or a log line of the level `error`.
    pub(crate) fn has_priority(&self) -> bool {
        match self {
            Self::Call(call) => call.header.outcome != Outcome::Ok,
            Self::Line(line) => line.line.level == LogLevel::Error,
        }
    }

    /// Returns the ring that the record was drained from, and the position of its end in that ring.
    pub(crate) fn end(&self) -> (u32, u64) {
        match self {
            Self::Call(call) => call.end,
            Self::Line(line) => line.end,
        }
    }

    pub(crate) fn thread(&self) -> u32 {
        match self {
            Self::Call(call) => call.thread,
            Self::Line(line) => line.thread,
        }
    }
}

/// Returns the row of a log line, whose place is `target`.
pub(crate) fn to_log_row(
    pending: &PendingLine<'_>,
    target: Arc<LogTarget>,
    clock: &Clock,
    scratch: &mut Vec<u8>,
) -> LogRow {
    let LogLine { level, at, lines, span, trace, site, has_body, body_bytes, fields_bytes, .. } =
        pending.line;
    // A text for which there is no memory is left out.
    let mut text = |words: &[u64], bytes: u16, to_text: fn(&[u8]) -> Option<String>| {
        if unpack(words, bytes.into(), scratch) { to_text(scratch) } else { None }
    };
    let body = match body_bytes {
        0 => Some(String::new()),
        bytes => text(pending.body, bytes, plain_text),
    };
    LogRow {
        at_ns: clock.unix_ns(at),
        level,
        target,
        span_id: span,
        trace_id: trace,
        function: (site != 0).then_some(site),
        body: body.filter(|_| has_body),
        fields: (fields_bytes > 0).then(|| text(pending.fields, fields_bytes, value_text)).flatten(),
        lines,
        calls_before: 0,
    }
}

/// The times of a call, in nanoseconds.
#[expect(clippy::struct_field_names, reason = "each name ends with its unit")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: u64,
    pub(crate) busy_ns: u64,
    /// The time that the call spent outside of the monitored calls that it made.
    pub(crate) self_ns: u64,
    pub(crate) end_ns: i64,
}

/// Converts the ticks of a record to times.
#[inline]
pub(crate) fn to_times(header: &Header, clock: &Clock) -> Times {
    let start_ns = clock.unix_ns(header.start);
    let duration_ns = clock.call_ns(header.start, header.duration);
    let busy_ns = if header.is_async { clock.duration_ns(header.busy) } else { duration_ns };
    let busy_ns = busy_ns.min(duration_ns);
    let self_ns = clock.duration_ns(header.self_ticks).min(busy_ns);
    let end_ns = start_ns.saturating_add(i64::try_from(duration_ns).unwrap_or(i64::MAX));
    Times { start_ns, duration_ns, busy_ns, self_ns, end_ns }
}

/// Returns the ended call in the form that call statistics take.
#[inline]
pub(crate) fn to_ended(header: &Header, times: &Times) -> EndedCall {
    let Times { duration_ns: ns, self_ns, busy_ns, end_ns: at_ns, .. } = *times;
    let (is_nested, is_root) = (header.is_nested, header.parent == 0);
    EndedCall { outcome: header.outcome, ns, self_ns, busy_ns, is_nested, is_root, at_ns }
}

/// The captured values of a call: `args`, `fields` and `result` as JSON, `error` as plain text.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) args: Option<String>,
    pub(crate) fields: Option<String>,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) error_type: Option<String>,
    /// True if values are missing, because there is no memory for their texts.
    pub(crate) lacks_memory: bool,
}

/// Converts the captured values of a record to text. `arguments` and `names` are the names of the function's
/// arguments and extra fields.
pub(crate) fn to_values(
    waiting: &PendingCall<'_>,
    (arguments, names): (&[&str], &[&str]),
    scratch: &mut Vec<u8>,
) -> Values {
    if waiting.value_bytes == 0 {
        return Values::default();
    }
    if !unpack(waiting.values, waiting.value_bytes, scratch) {
        return Values { lacks_memory: true, ..Values::default() };
    }
    let Header { args_bytes, fields_bytes, outcome, .. } = waiting.header;
    let (args, rest) = scratch.split_at(usize::from(args_bytes).min(scratch.len()));
    let (fields, last) = rest.split_at(usize::from(fields_bytes).min(rest.len()));
    let mut lacks_memory = false;
    let mut some = |bytes: &[u8], text: &mut dyn FnMut(&[u8]) -> Option<String>| {
        let text = if bytes.is_empty() { None } else { text(bytes) };
        lacks_memory |= text.is_none() && !bytes.is_empty();
        text
    };
    let is_ok = outcome == Outcome::Ok;
    let args = some(args, &mut |bytes| object_text(bytes, arguments));
    if waiting.fold.is_some() {
        return Values { args, lacks_memory, ..Values::default() };
    }
    let fields = some(fields, &mut |bytes| object_text(bytes, names));
    let result = is_ok.then(|| some(last, &mut value_text)).flatten();
    let mut error_type = None;
    let error = some(if is_ok { &[][..] } else { last }, &mut |bytes| {
        let (text, name) = text_and_type(bytes)?;
        error_type = name;
        Some(text)
    });
    Values { args, fields, result, error, error_type, lacks_memory }
}

impl PendingCall<'_> {
    /// Returns the number of calls that the record holds.
    pub(crate) fn calls(&self) -> u64 {
        self.fold.map_or(1, |fold| fold.calls)
    }
}

/// Returns the row of a call, or of calls that share one.
pub(crate) fn to_row(waiting: &PendingCall<'_>, times: Times, values: Values, clock: &Clock) -> CallRow {
    let header = &waiting.header;
    let shared = waiting.fold.map(|fold| SharedRow {
        calls: fold.calls,
        total_ns: clock.duration_ns(fold.total),
        max_ns: clock.duration_ns(fold.longest),
        last_ns: clock.unix_ns(fold.end),
    });
    let busy_ns = waiting.fold.map_or(times.busy_ns, |fold| clock.duration_ns(fold.busy / fold.calls.max(1)));
    CallRow {
        function: header.site,
        thread: waiting.thread,
        start_ns: times.start_ns,
        duration_ns: times.duration_ns,
        busy_ns: busy_ns.min(times.duration_ns),
        span_id: header.span,
        parent_id: header.parent,
        trace_id: header.trace,
        outcome: header.outcome,
        kept: header.kept,
        weight: waiting.fold.map_or(f64::from(header.weight), |fold| fold.weight),
        args: values.args,
        result: values.result,
        error: values.error,
        error_type: values.error_type,
        fields: values.fields,
        shared,
        cause: None,
        is_tree: header.parent == 0,
    }
}
