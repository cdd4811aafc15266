//! A body that does not parse is reported by rustc, and the function is defined all the same.
use monitored::monitor;

#[monitor]
fn incomplete(number: u32) -> u32 {
    let doubled = number * ;
    number.
}

#[monitor]
async fn incomplete_later(number: u32) -> u32 {
    number +
}

struct Book;

#[monitor]
impl Book {
    fn open(&self) -> u32 {
        1 +
    }

    fn close(&self) {}
}

fn main() {
    incomplete(1);
    let _ = incomplete_later(1);
    Book.open();
    Book.close();
}
