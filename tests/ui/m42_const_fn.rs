//! A `const fn` cannot be monitored, and stays a `const fn`.
use monitored::monitor;

#[monitor]
const fn double(number: u32) -> u32 {
    number * 2
}

struct Book;

// Inside a block it is left alone.
#[monitor]
impl Book {
    const fn new() -> Self {
        Self
    }

    #[monitor]
    pub const fn limit() -> u32 {
        3
    }
}

const DOUBLED: u32 = double(Book::limit());

fn main() {
    let _: (u32, Book) = (DOUBLED, Book::new());
}
