//! The program, once for each attribute. In: CSV with a head line. Out: a checksum over the JSON lines.
//! Every thousandth order has a quantity that is none, so that a call fails.

use std::fmt::Write as _;

/// The program.
pub(crate) type Run = fn(&str) -> u64;

/// So many orders.
pub(crate) fn input(orders: usize) -> String {
    let mut text = String::from("id,customer,item,quantity,price,note\n");
    for at in 0..orders {
        let quantity = if at % 1000 == 999 { "many".to_owned() } else { (at % 40).to_string() };
        let _ = writeln!(
            text,
            "{at},customer {},\"item, no {}\",{quantity},{}.{:02},\"as \"\"usual\"\"\"",
            at % 977,
            at % 113,
            at % 500,
            at % 100
        );
    }
    text
}

/// What an order is.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    id: u64,
    customer: String,
    item: String,
    quantity: u32,
    price: f64,
    note: String,
}

/// One form of the program: its functions with this attribute, or with the other one where a reader
/// is handed over, which nobody wants to see printed; `$root` is what lives around the outermost.
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

            /// Runs it.
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
    /// Without any.
    plain, [], [], ()
);
program!(
    /// Ours, with arguments and results captured as it comes.
    ours, [#[monitored::monitor]], [#[monitored::monitor(skip(reader))]], ()
);
program!(
    /// With arguments and errors, as it comes and as is advised.
    traced, [#[tracing::instrument(err)]], [#[tracing::instrument(skip(reader), err)]], ()
);
program!(
    /// Durations alone.
    hot, [#[hotpath::measure]], [#[hotpath::measure]], ()
);
program!(
    /// Durations alone, below a root.
    fast, [#[fastrace::trace]], [#[fastrace::trace]], {
        let root = fastrace::Span::root("order", fastrace::collector::SpanContext::random());
        let guard = root.set_local_parent();
        (guard, root)
    }
);
