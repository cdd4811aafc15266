//! The program, compiled once for each attribute. It takes CSV with a header line and returns a checksum of the JSON
//! lines. Every thousandth order has an invalid quantity, so that a call fails.

use std::fmt::Write as _;

/// A form of the program.
pub(crate) type Run = fn(&str) -> u64;

/// Makes an input with this number of orders.
pub(crate) fn input(orders: usize) -> String {
    let mut text = String::from("id,customer,item,quantity,price,note\n");
    for index in 0..orders {
        let quantity = if index % 1000 == 999 { "many".to_owned() } else { (index % 40).to_string() };
        let _ = writeln!(
            text,
            "{index},customer {},\"item, no {}\",{quantity},{}.{:02},\"as \"\"usual\"\"\"",
            index % 977,
            index % 113,
            index % 500,
            index % 100
        );
    }
    text
}

/// An order, one line of the input.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    id: u64,
    customer: String,
    item: String,
    quantity: u32,
    price: f64,
    note: String,
}

/// Makes a form of the program. Its functions have the attribute `$attribute`; the functions that take a reader have
/// `$skipping`, because a reader is not worth capturing. `$root` lives as long as the outermost call of an order.
macro_rules! program {
    ($(#[$doc:meta])* $form:ident, [$($attribute:tt)*], [$($skipping:tt)*], $root:expr) => {
        $(#[$doc])*
        pub(crate) mod $form {
            use super::Order;
            use csv::{Reader, StringRecord};

            $($skipping)*
            fn read(reader: &mut Reader<&[u8]>, record: &mut StringRecord) -> Result<bool, csv::Error> {
                reader.read_record(record)
            }

            $($attribute)*
            fn parse(record: &StringRecord, head: &StringRecord) -> Result<Order, csv::Error> {
                record.deserialize(Some(head))
            }

            $($attribute)*
            fn write(order: &Order, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
                line.clear();
                serde_json::to_writer(line, order)
            }

            $($skipping)*
            fn convert(
                reader: &mut Reader<&[u8]>,
                (record, head): (&mut StringRecord, &StringRecord),
                line: &mut Vec<u8>,
            ) -> Result<bool, csv::Error> {
                if !read(reader, record)? {
                    return Ok(false);
                }
                let order = parse(record, head)?;
                write(&order, line).map_err(std::io::Error::from)?;
                Ok(true)
            }

            /// Converts all orders. Returns the checksum.
            pub(crate) fn run(input: &str) -> u64 {
                let mut reader = Reader::from_reader(input.as_bytes());
                let head = reader.headers().cloned().unwrap_or_default();
                let (mut record, mut line, mut sum) = (StringRecord::new(), Vec::new(), 0_u64);
                loop {
                    let _root = $root;
                    match convert(&mut reader, (&mut record, &head), &mut line) {
                        Ok(true) => sum = line.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte)),
                        Ok(false) => return sum,
                        Err(_) => sum ^= 1,
                    }
                }
            }
        }
    };
}

program!(
    /// The program without any attribute.
    plain, [], [], ()
);
program!(
    /// Monitored, with arguments and results captured as by default.
    ours, [#[monitored::monitor]], [#[monitored::monitor(skip(reader))]], ()
);
program!(
    /// Instrumented by tracing, with arguments as by default and errors as its guide advises.
    traced, [#[tracing::instrument(err)]], [#[tracing::instrument(skip(reader), err)]], ()
);
program!(
    /// Measured by hotpath, which records durations.
    hot, [#[hotpath::measure]], [#[hotpath::measure]], ()
);
program!(
    /// Traced by fastrace, which records durations, with a root span per order.
    fast, [#[fastrace::trace]], [#[fastrace::trace]], {
        let root = fastrace::Span::root("order", fastrace::collector::SpanContext::random());
        let guard = root.set_local_parent();
        (guard, root)
    }
);
