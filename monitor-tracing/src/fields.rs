//! The fields of spans and events.
//!
//! Takes the fields that a span or an event records; gives them to the recorder one by one, as values of a call or of a line, and
//! the text of a failure. The first hundred fields of a span are kept. The file does not know the span.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use monitor_runtime::bridge::{Captured, FieldValue, Fields, LineWriter, Open};
use tracing_core::Event;
use tracing_core::field::{Field, Visit};

/// The number of fields of a span that are kept.
const FIELDS_MAX: usize = 100;
/// The number of sources of an error whose texts are kept.
const SOURCES_MAX: usize = 8;

/// Returns true for the field that says why a span failed: that of `#[instrument(err)]`, and its usual short name.
pub(crate) fn is_failure(name: &str) -> bool {
    matches!(name, "error" | "err")
}

/// The field with the status of a span in the words of OpenTelemetry: `ERROR`, `OK` or `UNSET`, in any case.
const STATUS_CODE: &str = "otel.status_code";

/// Returns true for the fields that describe why the status of a span is `ERROR`. `tracing-opentelemetry` has renamed the
/// field: older programs record the first name.
fn is_status_text(name: &str) -> bool {
    matches!(name, "otel.status_message" | "otel.status_description")
}

/// Returns true for the fields that may say that a span failed.
pub(crate) fn may_fail(name: &str) -> bool {
    is_failure(name) || name == STATUS_CODE || is_status_text(name)
}

/// Writes fields as values of a call.
pub(crate) struct Values<'a, 'f, 'w> {
    fields: &'a mut Fields<'f, 'w>,
    left: usize,
}

impl<'a, 'f, 'w> Values<'a, 'f, 'w> {
    pub(crate) fn new(fields: &'a mut Fields<'f, 'w>) -> Self {
        Self { fields, left: FIELDS_MAX }
    }

    /// Runs `write`, unless there have been too many fields.
    fn put(&mut self, write: impl FnOnce(&mut Fields<'f, 'w>)) {
        if self.left > 0 {
            self.left -= 1;
            write(self.fields);
        }
    }
}

impl Visit for Values<'_, '_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(|fields| fields.value(field.name(), &value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(|fields| fields.value(field.name(), value));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(|fields| fields.error(field.name(), value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(|fields| fields.debug(field.name(), value));
    }
}

/// Finds out whether the recorded fields report a failure of the span. The status alone is formatted for this.
#[derive(Default)]
struct FindsFailure {
    has_error: bool,
    /// True if the status is described, which is a failure unless the same record has another status than `ERROR`.
    has_status_text: bool,
    /// True if the recorded status is `ERROR`.
    status: Option<bool>,
}

impl Visit for FindsFailure {
    fn record_bool(&mut self, field: &Field, value: bool) {
        // `error = false` says that nothing failed.
        self.has_error |= value && is_failure(field.name());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            STATUS_CODE => self.status = Some(value.eq_ignore_ascii_case("error")),
            name if is_status_text(name) => self.has_status_text |= !value.is_empty(),
            name => self.has_error |= is_failure(name),
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            STATUS_CODE => self.status = Some(is_shown_as_error(value)),
            name if is_status_text(name) => self.has_status_text = true,
            name => self.has_error |= is_failure(name),
        }
    }
}

/// Returns true if the `Debug` of a value writes `error`, in any case. A panic of the `Debug` goes no further.
fn is_shown_as_error(value: &dyn Debug) -> bool {
    let mut expected = Expected("error");
    let mut outcome = Err(fmt::Error);
    // The text of the failure is not used: it stays empty.
    let _empty = Captured::failure(&mut |_| {
        outcome = write!(expected, "{value:?}");
        Ok(())
    });
    outcome.is_ok() && expected.0.is_empty()
}

/// The rest of a text that is expected, in any case. Another text is refused.
struct Expected(&'static str);

impl Write for Expected {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let (start, rest) = self.0.split_at_checked(piece.len()).ok_or(fmt::Error)?;
        self.0 = rest;
        if start.eq_ignore_ascii_case(piece) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Writes the fields that `is_wanted` selects as text.
struct TextWriter<'a> {
    text: &'a mut dyn Write,
    is_wanted: fn(&str) -> bool,
    /// The separator to write before the next field: empty for the first one.
    separator: &'static str,
    outcome: fmt::Result,
}

impl TextWriter<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if (self.is_wanted)(field.name()) && self.outcome.is_ok() {
            self.outcome = self.text.write_str(self.separator).and_then(|()| self.text.write_fmt(value));
            self.separator = ": ";
        }
    }
}

impl Visit for TextWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, format_args!("{value}"));
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, format_args!("{value}"));
        let mut source = value.source();
        for _ in 0..SOURCES_MAX {
            let Some(cause) = source else { return };
            self.put(field, format_args!("{cause}"));
            source = cause.source();
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

/// A failure that fields report.
pub(crate) enum Failure {
    /// The text says why the span failed.
    Reason(Captured),
    /// The text says no more than that the status is `ERROR`.
    Status(Captured),
}

impl Failure {
    /// Notes the failure of a call. A bare status leaves the call the reason that it may have already, because programs
    /// record status and reason in either order.
    pub(crate) fn note(self, open: &Open) {
        match self {
            Self::Reason(text) => open.fail(text),
            Self::Status(text) => open.fail_unless_failed(text),
        }
    }
}

/// Returns the failure that the recorded fields report, if they report one.
pub(crate) fn failure_in(record: &dyn Fn(&mut dyn Visit)) -> Option<Failure> {
    let mut found = FindsFailure::default();
    record(&mut found);
    let has_reason = found.has_error || (found.has_status_text && found.status != Some(false));
    if has_reason {
        let is_wanted = |name: &str| is_failure(name) || is_status_text(name);
        let text = Captured::failure(&mut |text| {
            let mut writer = TextWriter { text, is_wanted, separator: "", outcome: Ok(()) };
            record(&mut writer);
            writer.outcome
        });
        return text.map(Failure::Reason);
    }
    let is_error = found.status == Some(true);
    let text = is_error.then(|| Captured::failure(&mut |text| write!(text, "{STATUS_CODE} = ERROR")));
    text.flatten().map(Failure::Status)
}

/// Returns the text of an event: its message, and the error among its fields.
pub(crate) fn text_of(event: &Event<'_>) -> Option<Captured> {
    Captured::failure(&mut |text| {
        let mut message =
            TextWriter { text, is_wanted: |name| name == MESSAGE, separator: "", outcome: Ok(()) };
        event.record(&mut message);
        let TextWriter { text, separator, outcome, .. } = message;
        let mut error = TextWriter { text, is_wanted: is_failure, separator, outcome };
        event.record(&mut error);
        let TextWriter { text, separator, outcome, .. } = error;
        outcome?;
        if separator.is_empty() { text.write_str(event.metadata().target()) } else { Ok(()) }
    })
}

/// The field in which an event has its message.
const MESSAGE: &str = "message";

/// Returns true for an event that a record of the `log` facade was made into, which is how `tracing-log` names it.
pub(crate) fn is_of_facade(event: &Event<'_>) -> bool {
    event.metadata().target() == "log" && event.metadata().name() == "log event"
}

/// Returns true for the fields in which an event of the `log` facade says where it comes from.
fn is_place(name: &str) -> bool {
    matches!(name, "log.target" | "log.module_path" | "log.file" | "log.line")
}

/// Writes an event as a line: its message as the body, and its other fields.
pub(crate) struct Line<'a, 'w, 'b> {
    pub(crate) writer: &'a mut LineWriter<'w, 'b>,
    /// True for an event of the `log` facade, whose place is no field of the line.
    pub(crate) is_of_facade: bool,
}

impl Line<'_, '_, '_> {
    fn put(&mut self, field: &Field, value: FieldValue<'_>) {
        match field.name() {
            MESSAGE => self.writer.body(format_args!("{value:?}")),
            name if self.is_of_facade && is_place(name) => {}
            name => self.writer.field(name, value),
        }
    }
}

impl Visit for Line<'_, '_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, FieldValue::F64(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, FieldValue::I64(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, FieldValue::U64(value));
    }
    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, FieldValue::I128(value));
    }
    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, FieldValue::U128(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, FieldValue::Bool(value));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.writer.body(format_args!("{value}"));
        } else {
            self.put(field, FieldValue::Text(value));
        }
    }
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, FieldValue::Error(value));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, FieldValue::Debug(value));
    }
}

/// The place that an event of the `log` facade comes from, which the event's metadata does not contain.
#[derive(Debug, Default)]
pub(crate) struct Facade {
    pub(crate) target: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

impl Visit for Facade {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = u32::try_from(value).ok();
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target = Some(value.to_owned()),
            "log.file" => self.file = Some(value.to_owned()),
            _ => {}
        }
    }
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
