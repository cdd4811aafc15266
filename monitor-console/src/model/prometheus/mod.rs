//! Metrics for Prometheus, made from the store on request.
//!
//! Takes the store and the ring files of running processes; gives families of metrics, and their text or bytes in the
//! form that the client accepts. Counters are totals since the start of each process, summed over all that the store
//! has ever seen, so they fall neither when rows expire nor when a process ends. The files here do not know who
//! serves the metrics.
//!
//! The writers are our own. The crate `prometheus-client` writes one of the three forms, and keeps counts itself, which
//! are in the store here; the messages of the protocol buffers are written by `prost`.

mod facts;
mod families;
mod programs;
mod text;
mod protobuf;

use anyhow::Result;
use monitor_runtime::recover::LiveProcess;

use crate::store::Store;

pub(crate) use families::{Options, Step};

/// A form of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Prometheus' text, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0, with exemplars.
    OpenMetrics,
    /// Delimited protocol buffers, with native histograms and exemplars.
    Protobuf,
}

impl Form {
    /// Returns the value of the header `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Returns the form that the header `Accept` prefers; the text form if the header is missing or names no known
    /// form. Of equally preferred forms, the first one counts.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(String, String)> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| {
                    (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
                })
                .collect();
            let find = |name: &str| {
                parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            };
            let form = match media.as_str() {
                "application/openmetrics-text"
                    if find("version").is_none_or(|version| version.starts_with("1.")) =>
                {
                    Self::OpenMetrics
                }
                "application/vnd.google.protobuf"
                    if find("proto") == Some("io.prometheus.client.MetricFamily")
                        && find("encoding") == Some("delimited") =>
                {
                    Self::Protobuf
                }
                "text/plain" if find("version").is_none_or(|version| version == "0.0.4") => Self::Text,
                "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            let quality = find("q").map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0));
            if quality > best.0 {
                best = (quality, form);
            }
        }
        best.1
    }
}

/// Returns the metrics of a store in a form.
pub(crate) fn write(
    store: &Store,
    living: &[LiveProcess],
    form: Form,
    options: Options,
    now_ns: i64,
) -> Result<Vec<u8>> {
    let facts = facts::read(store, living, options, now_ns)?;
    let mut families = families::build(&facts, options);
    programs::add(&facts.metrics, options.step, &mut families);
    Ok(match form {
        Form::Text => text::write(&families, text::Dialect::Prometheus).into_bytes(),
        Form::OpenMetrics => text::write(&families, text::Dialect::OpenMetrics).into_bytes(),
        Form::Protobuf => protobuf::write(&families),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_liked_best() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                               text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let with_native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                           application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.6,*/*;q=0.1";
        for (accept, expected) in [
            (None, Form::Text),
            (Some(""), Form::Text),
            (Some("*/*"), Form::Text),
            (Some("text/html, image/png"), Form::Text),
            (Some(prometheus_2_42), Form::OpenMetrics),
            (Some(with_native), Form::Protobuf),
            (Some("application/openmetrics-text; version=\"1.0.0\""), Form::OpenMetrics),
            (Some("application/openmetrics-text;version=0.0.1"), Form::Text),
            (Some("application/vnd.google.protobuf"), Form::Text),
            (Some("application/openmetrics-text;q=0.1,text/plain;q=0.2"), Form::Text),
            (Some("application/openmetrics-text;q=0"), Form::Text),
        ] {
            assert_eq!(Form::accepted(accept), expected, "{accept:?}");
        }
    }
}
