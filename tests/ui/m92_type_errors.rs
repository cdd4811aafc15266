//! Mistakes in a body are reported where they were made.
use monitored::monitor;

#[monitor]
fn mismatched_tail() -> u32 {
    "text"
}

#[monitor]
fn mismatched_return(flag: bool) -> u32 {
    if flag {
        return "text";
    }
    1
}

#[monitor]
fn missing_tail() -> u32 {
    1;
}

#[monitor]
fn empty() -> u32 {}

#[monitor]
fn question_mark(text: &str) -> Result<u32, std::fmt::Error> {
    let number: u32 = text.parse()?;
    Ok(number)
}

#[monitor]
fn question_mark_without_result(text: &str) -> u32 {
    text.parse()?
}

#[monitor]
fn unit() {
    1
}

#[monitor]
fn awaits() -> u32 {
    std::future::ready(1).await
}

#[monitor]
fn opaque() -> impl Iterator<Item = u32> {
    1
}

#[monitor]
fn borrowed(text: String) -> &'static str {
    &text
}

#[monitor]
fn unknown_name() -> u32 {
    nowhere
}

fn main() {}
