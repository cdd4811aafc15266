//! Mistakes in the body of an async function are reported where they were made.
use std::future::Future;
use std::pin::Pin;

use monitored::monitor;

#[monitor]
async fn mismatched_tail() -> u32 {
    "text"
}

#[monitor]
async fn mismatched_return(flag: bool) -> u32 {
    if flag {
        return "text";
    }
    1
}

#[monitor]
async fn missing_tail() -> u32 {
    1;
}

#[monitor]
async fn question_mark(text: &str) -> Result<u32, std::fmt::Error> {
    let number: u32 = text.parse()?;
    Ok(number)
}

#[monitor]
async fn unit() {
    1
}

#[monitor]
async fn awaits() -> u32 {
    1.await
}

#[monitor]
async fn moved(text: String) -> String {
    drop(text);
    text
}

#[monitor]
fn boxed() -> Pin<Box<dyn Future<Output = u32>>> {
    Box::pin(async { "text" })
}

#[monitor]
fn opaque() -> impl Future<Output = u32> {
    async { "text" }
}

#[monitor]
async fn not_send() -> u32 {
    let shared = std::rc::Rc::new(1);
    std::future::ready(()).await;
    *shared
}

fn main() {
    fn is_send(_: impl Send) {}
    is_send(not_send());
}
