//! The layer: the spans that tracing reports, as calls of the recorder.
//!
//! Takes the beginnings, entries, exits, values and ends of spans, and events; gives calls that begin, are entered, left and ended,
//! and log lines. The layer never decides for other layers which spans and events there are. The file does not know how a call is recorded.

use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use monitor_runtime::Context as Call;
use monitor_runtime::bridge::{self, Captured, LogLevel, LogPlace, Open, Parent};
use tracing_core::field::Visit;
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, LevelFilter, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::fields::{Facade, Line, Values, failure_in, is_of_facade, text_of};
use crate::none;
use crate::presence::Presence;
use crate::reentrancy::run_unless_working;
use crate::sites::{Fields, Name, Site, Sites};
use crate::spans::Spans;

/// A [`Layer`] that records spans as calls. [`layer`] returns one with the defaults.
pub struct MonitorLayer {
    spans: LevelFilter,
    events: LevelFilter,
    name: Option<Name>,
    error_events_fail: bool,
    /// True if recording is off in this process.
    is_off: bool,
    /// True if the subscriber has another layer of this type, which records instead of this one.
    is_second: AtomicBool,
    presence: Presence,
    sites: Sites,
    open: Spans,
}

/// Returns a layer that records spans from level `INFO` up, and events from level `WARN` up as log lines.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// let subscriber = tracing_subscriber::registry().with(monitored_tracing::layer());
/// # drop(subscriber);
/// ```
#[must_use]
pub fn layer() -> MonitorLayer {
    MonitorLayer {
        spans: LevelFilter::INFO,
        events: LevelFilter::WARN,
        name: None,
        error_events_fail: true,
        is_off: false,
        is_second: AtomicBool::new(false),
        presence: Presence::begin(),
        sites: Sites::new(),
        open: Spans::new(),
    }
}

impl MonitorLayer {
    /// Sets the least important level of spans that are recorded; the default is `INFO`.
    ///
    /// The subscriber makes all spans that its filters let through, whatever this level is. A filter in the subscriber,
    /// such as `LevelFilter::INFO`, avoids the cost of spans that no layer uses.
    #[must_use]
    pub fn spans(mut self, level: impl Into<LevelFilter>) -> Self {
        self.spans = level.into();
        self
    }

    /// Sets the least important level of events that become log lines; the default is `WARN`. A line is stored with the
    /// call in which it was written: see the view `logs`.
    #[must_use]
    pub fn events(mut self, level: impl Into<LevelFilter>) -> Self {
        self.events = level.into();
        self
    }

    /// Sets how the function of a callsite is named. `name` is called once for each callsite. The default is the target
    /// and the name, `shop::orders::place`, or the name alone if it is a path.
    #[must_use]
    pub fn name(mut self, name: impl Fn(&Metadata<'_>) -> String + Send + Sync + 'static) -> Self {
        self.name = Some(Box::new(name));
        self
    }

    /// Sets whether an event of level `ERROR` marks the span in which it happens as failed; the default is `true`.
    #[must_use]
    pub fn error_events_fail(mut self, fail: bool) -> Self {
        self.error_events_fail = fail;
        self
    }

    /// Returns true if the layer records nothing.
    #[inline]
    fn is_inert(&self) -> bool {
        self.is_off || self.is_second.load(Ordering::Relaxed)
    }

    /// Leaves the recording to the other layer of this type in the subscriber, and says so.
    fn be_second(&self) {
        if !self.is_second.swap(true, Ordering::Relaxed) {
            let line = "monitored-tracing: the subscriber has such a layer already; the second one records nothing\n";
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }

    /// Returns true if no other layer of this type records this span, which begins. The layers of a `Vec` do not see each other
    /// when they are installed, so each notes in the registry what it records.
    #[cold]
    fn is_first<S>(&self, id: &Id, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let Some(span) = context.span(id) else { return true };
        let is_first = self.presence.is_first_in(&mut span.extensions_mut());
        if !is_first {
            self.be_second();
        }
        is_first
    }

    /// Returns the call around a span that begins: that of its explicit parent, or the current one.
    fn parent<S>(&self, span: &Attributes<'_>, context: &Context<'_, S>) -> Parent
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        if span.is_contextual() {
            return Parent::Current;
        }
        Parent::Context(span.parent().map_or(Call::root(), |parent| self.call_of(parent, context)))
    }

    /// Returns the call of a span that is named as a parent. If that span is not recorded, returns the call of the
    /// innermost recorded span around it, or the root context.
    fn call_of<S>(&self, parent: &Id, context: &Context<'_, S>) -> Call
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let recorded = |id: &Id| self.open.access(id, Open::context);
        let call = recorded(parent)
            .or_else(|| context.span_scope(parent)?.skip(1).find_map(|around| recorded(&around.id())));
        call.unwrap_or(Call::root())
    }

    fn begin<S>(&self, span: &Attributes<'_>, id: &Id, context: &Context<'_, S>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let Some(site) = self.sites.find(span.metadata(), self.name.as_ref()) else { return };
        let parent = self.parent(span, context);
        self.open.insert(id, |open| {
            let is_recorded = bridge::begin(open, site.call, parent);
            if is_recorded && site.fields != Fields::None {
                capture(span, site, open);
            }
            is_recorded
        });
    }

    /// Adds values that are recorded later. They are formatted without a lock.
    fn record(&self, id: &Id, values: &Record<'_>) {
        let Some(is_captured) = self.open.access(id, Open::captures) else { return };
        let fields = || Captured::fields(|fields| values.record(&mut Values::new(fields)));
        let more = if is_captured { fields() } else { None };
        let failure = failure_in(&|visit: &mut dyn Visit| values.record(visit));
        self.open.access(id, |open| {
            if let Some(more) = &more {
                open.add(more);
            }
            if let Some(failure) = failure {
                failure.note(open);
            }
        });
    }

    fn follow(&self, id: &Id, earlier: &Id) {
        let Some(earlier) = self.open.access(earlier, Open::function) else { return };
        let is_recorded = self.open.access(id, |_| ()).is_some();
        let Some(follows) = is_recorded.then(|| self.open.add_follows(id, earlier)).flatten() else { return };
        if let Some(captured) = Captured::fields(|fields| fields.value("follows", &follows)) {
            self.open.access(id, |open| open.add(&captured));
        }
    }

    /// Records an event as a log line of the call in which the event happens.
    fn say<S>(&self, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let metadata = event.metadata();
        let mut facade = Facade::default();
        let is_of_facade = is_of_facade(event);
        if is_of_facade {
            event.record(&mut facade);
        }
        let place = LogPlace {
            level: to_log_level(*metadata.level()),
            target: facade.target.as_deref().unwrap_or(metadata.target()),
            file: facade.file.as_deref().or(metadata.file()),
            line: facade.line.or(metadata.line()),
        };
        let note = || {
            bridge::note_with(place, &mut |writer| event.record(&mut Line { writer, is_of_facade }));
        };
        match event.parent() {
            None if event.is_contextual() => note(),
            None => Call::root().scope(note),
            Some(parent) => self.call_of(parent, context).scope(note),
        }
    }

    /// Marks the innermost recorded span around an event of level `ERROR` as failed.
    fn fail<S>(&self, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let is_recorded = |id: &Id| self.open.access(id, |_| ()).is_some();
        let around = context.event_scope(event).into_iter().flatten();
        let Some(id) = around.map(|span| span.id()).find(is_recorded) else { return };
        if let Some(text) = text_of(event) {
            self.open.access(&id, |open| open.fail(text));
        }
    }
}

/// Returns the level of a log line for that of an event.
fn to_log_level(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

impl<S> Layer<S> for MonitorLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_layer(&mut self, subscriber: &mut S) {
        self.is_off = bridge::is_off();
        let subscriber: &dyn Subscriber = subscriber;
        if subscriber.is::<Self>() {
            self.be_second();
        }
    }

    #[inline]
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if *span.metadata().level() <= self.spans && !self.is_inert() {
            run_unless_working(|| {
                if Presence::is_alone() || self.is_first(id, &context) {
                    self.begin(span, id, &context);
                }
            });
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if !self.is_off {
            run_unless_working(|| self.record(id, values));
        }
    }

    fn on_follows_from(&self, id: &Id, earlier: &Id, _: Context<'_, S>) {
        if !self.is_off {
            run_unless_working(|| self.follow(id, earlier));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = *event.metadata().level();
        let fails = level == Level::ERROR && self.error_events_fail;
        let is_line = level <= self.events;
        if (fails || is_line) && !self.is_inert() {
            run_unless_working(|| {
                if is_line {
                    self.say(event, &context);
                }
                if fails {
                    self.fail(event, &context);
                }
            });
        }
    }

    // `on_enter`, `on_exit` and `on_close` run no code of the program, and take a lock only for spans that are kept in
    // the map of `spans`. So they need no guard against reentrancy. A layer that has become the second one still ends
    // the spans that it has begun.

    #[inline]
    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        if !self.is_off {
            self.open.access(id, Open::enter);
        }
    }

    #[inline]
    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if !self.is_off {
            self.open.access(id, Open::exit);
        }
    }

    #[inline]
    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if !self.is_off {
            self.open.close(&id);
        }
    }

    // The methods below answer for a layer that records nothing as `None` would, so tracing leaves out spans that no
    // other layer wants.

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.is_inert().then(none::max_level_hint::<S>).flatten()
    }

    #[allow(unsafe_code, reason = "the trait's function is unsafe, and this one passes its call on")]
    unsafe fn downcast_raw(&self, id: std::any::TypeId) -> Option<*const ()> {
        if id == std::any::TypeId::of::<Self>() {
            return Some(std::ptr::from_ref(self).cast());
        }
        if self.is_inert() { none::marker::<S>(id) } else { None }
    }
}

impl fmt::Debug for MonitorLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spans, events, error_events_fail, is_off, is_second, .. } = self;
        formatter
            .debug_struct("MonitorLayer")
            .field("spans", spans)
            .field("events", events)
            .field("error_events_fail", error_events_fail)
            .field("is_off", is_off)
            .field("is_second", is_second)
            .finish_non_exhaustive()
    }
}

/// Captures the fields that a span begins with.
#[inline(never)]
fn capture(span: &Attributes<'_>, site: Site, open: &Open) {
    if open.captures() {
        open.capture(|fields| span.record(&mut Values::new(fields)));
    }
    if site.fields == Fields::WithFailure
        && let Some(failure) = failure_in(&|visit: &mut dyn Visit| span.record(visit))
    {
        failure.note(open);
    }
}
