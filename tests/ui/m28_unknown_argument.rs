//! The name of an argument that does not exist is one error, and the function is defined all the same.
use monitored::monitor;

#[monitor(skip(quantity))]
fn order(id: u32, count: u32) -> u32 {
    id + count
}

#[monitor(redact(password), skip(r#type, _))]
fn nothing() {}

#[monitor(redact(pasword))]
fn login(user: &str, password: &str) -> bool {
    user == password
}

struct Book;

#[monitor(redact(secert))]
impl Book {
    fn open(&self, secret: &str) -> bool {
        !secret.is_empty()
    }

    #[monitor(skip(lenght))]
    fn read(&self, length: usize) -> usize {
        length
    }
}

fn main() {
    order(1, 2);
    nothing();
    login("a", "b");
    Book.open("c");
    Book.read(1);
}
