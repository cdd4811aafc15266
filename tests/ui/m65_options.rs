//! Unknown, repeated and malformed options.
use monitored::monitor;

#[monitor(nme = "a")]
fn unknown() {}

#[monitor(group = "a", sample = 0.5, group = "b", sample = 1.0)]
fn repeated() {}

#[monitor(sample = 1.5)]
fn too_often() {}

#[monitor(sample = -0.5)]
fn less_than_never() {}

#[monitor(sample = "often")]
fn not_a_number() {}

#[monitor(slow = "10 parsecs")]
fn not_a_duration() {}

#[monitor(slow = 10)]
fn no_unit() {}

#[monitor(name = "")]
fn nameless() {}

#[monitor(name = 1)]
fn number() {}

#[monitor(name)]
fn no_value() {}

#[monitor(skip)]
fn no_list() {}

#[monitor(skip(a, a))]
fn twice(a: u32) -> u32 {
    a
}

#[monitor(fields(a = 1, a = 2))]
fn field_twice() {}

#[monitor(fields(a))]
fn field_without_value() {}

#[monitor(skip_all = true)]
fn not_a_flag() {}

#[monitor("name")]
fn not_an_option() {}

#[monitor(no_result skip_all)]
fn no_comma() {}

#[monitor(error_if)]
fn no_test() {}

#[monitor(crate = "monitored")]
fn not_a_path() {}

const NAME: &str = "book";

struct Book;

#[monitor(name = NAME)]
impl Book {
    fn open(&self) {}
}

#[monitor(unknown, off)]
mod inside {
    pub fn function() {}
}

fn main() {
    unknown();
    repeated();
    too_often();
    less_than_never();
    not_a_number();
    not_a_duration();
    no_unit();
    nameless();
    number();
    no_value();
    no_list();
    twice(1);
    field_twice();
    field_without_value();
    not_a_flag();
    not_an_option();
    no_comma();
    no_test();
    not_a_path();
    Book.open();
    inside::function();
}
