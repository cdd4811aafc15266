//! The layer beside others, switched off, and installed by itself.

use std::sync::{Arc, Mutex};

use monitored_tracing::MonitorLayer;
use tracing::{Dispatch, Level, debug, debug_span, dispatcher, info_span, instrument, trace_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, registry};

use crate::stage::{Stage, finish, store_of};

pub(crate) fn run_off() {
    tracing_subscriber::registry().with(monitored_tracing::layer()).init();
    // No other layer wants spans or events, so tracing makes none.
    assert!(info_span!("off").is_disabled() && !tracing::enabled!(Level::ERROR));
}

/// Lines that a `fmt` layer wrote.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run_beside() {
    let lines = Lines::default();
    let writer = lines.clone();
    let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    tracing_subscriber::registry().with(fmt).with(monitored_tracing::layer()).init();
    trace_span!("traced").in_scope(|| debug!("said"));
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("DEBUG traced: it::layers: said"), "{text}");
}

#[test]
fn a_program_that_is_not_recorded_makes_no_spans() {
    let stage = Stage::new();
    finish(stage.command("off").env("MONITOR", "off"));
    assert!(!stage.path().exists());
}

#[test]
fn other_layers_see_what_they_see_without_this_one() {
    for mode in ["on", "off"] {
        let stage = Stage::new();
        finish(stage.command("beside").env("MONITOR", mode));
    }
}

pub(crate) fn add_twice() {
    let (first, second) = (monitored_tracing::layer(), monitored_tracing::layer());
    tracing_subscriber::registry().with(first).with(second).init();
    info_span!("once").in_scope(|| ());
}

#[test]
fn a_second_layer_records_nothing_and_says_so() {
    let stage = Stage::new();
    let output = stage.run("twice");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.matches("monitored-tracing: ").count(), 1, "{text}");
    assert_eq!(stage.store().one::<i64>("SELECT SUM(calls) FROM functions"), 1);
}

/// Installs two layers in one of the ways in which they do not see each other, and makes a span and an event.
fn add_unseen(add: impl FnOnce([MonitorLayer; 2]) -> Dispatch) {
    // The first span is one that a layer below `DEBUG` does not record.
    let layers = [monitored_tracing::layer(), monitored_tracing::layer().spans(Level::DEBUG)];
    let installed = add(layers);
    dispatcher::set_global_default(installed).unwrap();
    let early = debug_span!("early").entered();
    info_span!("once").in_scope(|| tracing::warn!("said once"));
    drop(early);
    info_span!("once").in_scope(|| tracing::warn!("said once"));
}

pub(crate) fn add_list() {
    add_unseen(|[first, second]| {
        let list: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![first.boxed(), second.boxed()];
        registry().with(list).into()
    });
}

pub(crate) fn add_joined() {
    add_unseen(|[first, second]| registry().with(first.and_then(second)).into());
}

pub(crate) fn add_filtered_list() {
    add_unseen(|[first, second]| {
        let list = vec![first.with_filter(LevelFilter::INFO), second.with_filter(LevelFilter::DEBUG)];
        registry().with(vec![list]).into()
    });
}

#[test]
fn a_second_layer_beside_the_first_records_no_span_again_and_says_so() {
    for program in ["list", "joined", "filtered"] {
        let stage = Stage::new();
        let output = stage.run(program);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.matches("monitored-tracing: ").count(), 1, "{program}: {text}");
        let store = stage.store();
        assert_eq!(store.outcome("layers::early"), "ok", "{program}");
        assert_eq!(store.one::<i64>("SELECT SUM(calls) FROM functions"), 3, "{program}");
        assert_eq!(store.one::<i64>("SELECT SUM(lines) FROM logs"), 2, "{program}");
    }
}

pub(crate) fn set_levels() {
    let layer = monitored_tracing::layer().spans(Level::INFO).error_events_fail(false);
    let layer = layer.name(|metadata| format!("shop::{}", metadata.name().to_uppercase()));
    tracing_subscriber::registry().with(layer).init();
    info_span!("outer").in_scope(|| {
        let between = debug_span!("between");
        between.in_scope(|| info_span!("inner").in_scope(|| tracing::error!("no failure")));
        info_span!(parent: &between, "explicit");
    });
    // Another subscriber has its own layer.
    let layer = monitored_tracing::layer().name(|_| "other::name".to_owned());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), again);
    again();
}

#[instrument]
fn again() {}

#[test]
fn spans_below_the_level_are_passed_over_and_names_are_the_programs_choice() {
    let store = store_of("levels");
    let links = [
        "other::name < -",
        "shop::AGAIN < -",
        "shop::EXPLICIT < shop::OUTER",
        "shop::INNER < shop::OUTER",
        "shop::OUTER < -",
    ];
    assert_eq!(store.links(), links);
    assert_eq!(store.one::<i64>("SELECT COUNT(*) FROM calls WHERE outcome <> 'ok'"), 0);
}

pub(crate) fn call_init() {
    monitored_tracing::init();
    info_span!("usual").in_scope(|| ());
    debug_span!("rare").in_scope(|| ());
    info_span!(target: "loud", "unwanted").in_scope(|| ());
}

#[test]
fn init_follows_the_usual_variable() {
    for (filter, expected) in [
        (None, vec!["layers::usual", "loud::unwanted"]),
        (Some("debug,loud=warn"), vec!["layers::rare", "layers::usual"]),
        (Some("loud=nonsense"), vec!["layers::usual", "loud::unwanted"]),
    ] {
        let stage = Stage::new();
        let mut command = stage.command("init");
        if let Some(filter) = filter {
            command.env("RUST_LOG", filter);
        }
        let output = finish(&mut command);
        let names: Vec<String> =
            stage.store().all("SELECT REPLACE(function, 'it::', '') FROM functions ORDER BY function");
        assert_eq!(names, expected, "{filter:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.contains("RUST_LOG is not understood"), filter == Some("loud=nonsense"), "{text}");
    }
}

pub(crate) fn call_init_late() {
    tracing_subscriber::registry().init();
    monitored_tracing::init();
    info_span!("unseen").in_scope(|| ());
}

#[test]
fn init_leaves_a_subscriber_that_is_there() {
    let stage = Stage::new();
    let output = stage.run("taken");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("a tracing subscriber is installed already"), "{text}");
    assert!(!stage.path().exists());
}
