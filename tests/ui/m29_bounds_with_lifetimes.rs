//! A bound with a lifetime on a type's `Debug`, `Display` or `Error`: the message ends with a macro whose name says which
//! option leaves the value out.

use std::fmt::{self, Debug, Display, Formatter};

use monitored::monitor;

struct Borrowed<'a>(&'a str);

impl Debug for Borrowed<'static> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl Display for Borrowed<'static> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

struct Whole<T>(T);

impl<T: 'static> Debug for Whole<T> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("whole")
    }
}

#[monitor]
fn argument(value: Borrowed<'_>) -> usize {
    value.0.len()
}

#[monitor]
fn generic_argument<T>(value: Whole<T>) -> usize {
    size_of_val(&value.0)
}

#[monitor]
async fn later(value: Borrowed<'_>) -> usize {
    value.0.len()
}

#[monitor]
fn value<'a>(text: &'a str) -> Borrowed<'a> {
    Borrowed(text)
}

#[monitor]
fn error<'a>(text: &'a str) -> Result<u8, Borrowed<'a>> {
    Err(Borrowed(text))
}

fn main() {}
