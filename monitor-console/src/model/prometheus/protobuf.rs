//! The form of delimited protocol buffers, with native histograms beside the classic ones. The functions here are pure.
//!
//! The messages are those of `io.prometheus.client`, as far as they are used here.

use prost::Message as _;

use super::facts::Example;
use super::families::{Durations, Family, Kind, Metric, Sample};

/// The index by which a bucket of the store, whose bounds are eighths of a doubling of a nanosecond, becomes one of a native
/// histogram of schema 3, whose bounds are eighths of a doubling of a second: a second is 2^29.897 ns, and 29.897 × 8 is 239.2.
/// The remaining fifth of a bucket makes all bounds 1.6 % low.
const SHIFT: i32 = 239;
/// The schema whose buckets grow by 2^(1/8).
const SCHEMA: i32 = 3;
/// The most empty buckets between two others that are written as empty buckets. A larger gap begins a new span.
const GAP_MAX: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<MetricMessage>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetricMessage {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Counter>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<HistogramMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Gauge {
    #[prost(double, tag = "1")]
    value: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Counter {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HistogramMessage {
    #[prost(uint64, tag = "1")]
    sample_count: u64,
    #[prost(double, tag = "2")]
    sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Bucket {
    #[prost(uint64, tag = "1")]
    cumulative_count: u64,
    #[prost(double, tag = "2")]
    upper_bound: f64,
    #[prost(message, optional, tag = "3")]
    exemplar: Option<Exemplar>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(message, optional, tag = "3")]
    timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Writes all families, each behind its length.
pub(super) fn write(families: &[Family]) -> Vec<u8> {
    families.iter().flat_map(|family| to_message(family).encode_length_delimited_to_vec()).collect()
}

fn to_message(family: &Family) -> MetricFamily {
    let (kind, ending) = match family.kind {
        Kind::Counter => (MetricType::Counter, "_total"),
        Kind::Gauge => (MetricType::Gauge, ""),
        Kind::Histogram => (MetricType::Histogram, ""),
    };
    MetricFamily {
        name: format!("{}{ending}", family.name),
        help: family.help.to_string(),
        kind: kind.into(),
        metric: family.metrics.iter().map(|metric| to_metric(metric, family.kind)).collect(),
        unit: family.unit.to_owned(),
    }
}

fn to_metric(metric: &Metric, kind: Kind) -> MetricMessage {
    let label = metric.labels.iter().map(|(name, value)| to_label(name, value.clone())).collect();
    let created_timestamp = metric.created_ns.map(to_timestamp);
    let mut message = MetricMessage { label, ..MetricMessage::default() };
    match &metric.value {
        Sample::Number(value) if kind == Kind::Counter => {
            message.counter = Some(Counter { value: *value, created_timestamp });
        }
        Sample::Number(value) => message.gauge = Some(Gauge { value: *value }),
        Sample::Durations(durations) => {
            message.histogram = Some(HistogramMessage { created_timestamp, ..to_histogram(durations) });
        }
    }
    message
}

fn to_label(name: &str, value: String) -> LabelPair {
    LabelPair { name: name.to_owned(), value }
}

fn to_timestamp(ns: i64) -> Timestamp {
    let nanos = i32::try_from(ns.rem_euclid(1_000_000_000)).unwrap_or(0);
    Timestamp { seconds: ns.div_euclid(1_000_000_000), nanos }
}

fn to_histogram(durations: &Durations) -> HistogramMessage {
    let bucket = |upper_bound, cumulative_count, example: Option<&Example>| Bucket {
        cumulative_count,
        upper_bound,
        exemplar: example.map(to_exemplar),
    };
    let finite =
        durations.edges.iter().map(|edge| bucket(edge.upper_s, edge.cumulative, edge.example.as_ref()));
    let infinite = bucket(f64::INFINITY, durations.count, durations.beyond.as_ref());
    let (positive_span, positive_delta) = to_spans(&durations.buckets);
    HistogramMessage {
        sample_count: durations.count,
        sample_sum: durations.sum_s,
        bucket: finite.chain([infinite]).collect(),
        schema: SCHEMA,
        positive_span,
        positive_delta,
        ..HistogramMessage::default()
    }
}

fn to_exemplar(example: &Example) -> Exemplar {
    let label = vec![
        to_label("trace_id", example.trace_id.to_string()),
        to_label("call_id", example.call_id.to_string()),
    ];
    #[expect(clippy::cast_precision_loss, reason = "a duration in seconds")]
    let value = example.duration_ns as f64 / 1e9;
    Exemplar { label, value, timestamp: Some(to_timestamp(example.ended_ns)) }
}

/// Returns the buckets as spans of indexes, and each bucket's count as the difference to the one before. A native bucket has
/// the index of its upper bound, one of the store that of its lower bound.
fn to_spans(buckets: &[(i32, u64)]) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut next, mut last) = (0, 0);
    for (bucket, count) in buckets {
        let index = bucket + 1 - SHIFT;
        let gap = index - next;
        if let Some(span) = spans.last_mut().filter(|_| gap <= GAP_MAX) {
            for _ in 0..gap {
                deltas.push(-std::mem::take(&mut last));
            }
            span.length += gap.unsigned_abs() + 1;
        } else {
            spans.push(BucketSpan { offset: gap, length: 1 });
        }
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - std::mem::replace(&mut last, count));
        next = index + 1;
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Reads spans and differences back as Prometheus does.
    fn read(spans: &[BucketSpan], deltas: &[i64]) -> Vec<(i32, i64)> {
        let (mut index, mut count, mut found, mut deltas) = (0, 0, Vec::new(), deltas.iter());
        for BucketSpan { offset, length } in spans {
            index += offset;
            for _ in 0..*length {
                count += deltas.next().unwrap();
                found.push((index, count));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        found.retain(|(_, count)| *count > 0);
        found
    }

    #[test]
    fn spans_lead_back_to_the_buckets_whatever_their_gaps() {
        let buckets = [(-8, 5), (100, 1), (101, 7), (103, 2), (106, 1), (110, 9), (511, 3)];
        let (spans, deltas) = to_spans(&buckets);
        let expected: Vec<(i32, i64)> = buckets
            .iter()
            .map(|(bucket, count)| (bucket + 1 - SHIFT, i64::try_from(*count).unwrap()))
            .collect();
        assert_eq!(read(&spans, &deltas), expected);
        assert_eq!(spans.len(), 4, "small gaps are filled with empty buckets");
        assert_eq!(to_spans(&[]), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_native_bound_is_as_low_as_the_help_says() {
        for bucket in [64, 160, 272] {
            let exact = (f64::from(bucket + 1) / 8.0).exp2() / 1e9;
            let native = (f64::from(bucket + 1 - SHIFT) / 8.0).exp2();
            assert!((native / exact - 1.0).abs() < 0.017, "{native} {exact}");
        }
    }

    #[test]
    fn a_family_is_read_back_from_its_bytes() {
        let metric = Metric {
            labels: vec![("service".into(), "shop".to_owned())],
            value: Sample::Number(3.0),
            created_ns: Some(1_500_000_000),
        };
        let family = Family {
            name: "calls".into(),
            help: "Calls.".into(),
            kind: Kind::Counter,
            unit: "",
            metrics: vec![metric],
        };
        let bytes = write(&[family.clone(), family]);
        let mut rest = bytes.as_slice();
        for _ in 0..2 {
            let read = MetricFamily::decode_length_delimited(&mut rest).unwrap();
            assert_eq!((read.name.as_str(), read.metric.len()), ("calls_total", 1));
            let created_timestamp = Some(Timestamp { seconds: 1, nanos: 500_000_000 });
            assert_eq!(read.metric[0].counter, Some(Counter { value: 3.0, created_timestamp }));
        }
        assert!(rest.is_empty());
    }
}
