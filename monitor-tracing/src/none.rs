//! The answers of a layer that is not there: `None::<MonitorLayer>`.
//!
//! Takes the questions that tracing asks a layer before it makes a span; gives the answers of `None`, with which spans
//! and events that no other layer wants cost nothing, and those of other layers stay. If the layer itself answered
//! `Interest::never`, no other layer would see the span either. The file does not know why the layer is not there.

use std::any::TypeId;

use tracing_core::{LevelFilter, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::layer::MonitorLayer;

/// Returns the level of a layer that is not there.
pub(crate) fn max_level_hint<S>() -> Option<LevelFilter>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    Layer::<S>::max_level_hint(&None::<MonitorLayer>)
}

/// Returns the mark by which tracing recognizes a layer that is not there, if `id` is the type of that mark.
#[allow(unsafe_code, reason = "the function of the trait is unsafe")]
pub(crate) fn marker<S>(id: TypeId) -> Option<*const ()>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    if id == TypeId::of::<Option<MonitorLayer>>() {
        return None;
    }
    // SAFETY: the function has no precondition. It is unsafe because of the pointer that it returns, which refers to a static: the
    // only other pointer that it could return is to the option itself, which the lines above exclude.
    unsafe { Layer::<S>::downcast_raw(&None::<MonitorLayer>, id) }
}
