//! Rule M60: puts the attribute above and below the attributes that make programs and tests.

use monitored::monitor;
use rstest::rstest;

#[monitor]
#[tokio::main(flavor = "current_thread")]
async fn main_above(number: u32) -> u32 {
    tokio::task::yield_now().await;
    number
}

#[tokio::main(flavor = "current_thread")]
#[monitor]
async fn main_below(number: u32) -> Result<u32, String> {
    tokio::task::yield_now().await;
    Ok(number)
}

#[test]
fn m60_around_tokio_main() {
    assert_eq!((main_above(1), main_below(2)), (1, Ok(2)));
}

#[monitor]
#[tokio::test]
async fn m60_above_tokio_test() {
    tokio::task::yield_now().await;
}

#[tokio::test]
#[monitor]
async fn m60_below_tokio_test() -> Result<(), String> {
    tokio::task::yield_now().await;
    Ok(())
}

#[monitor]
#[test]
fn m60_above_test() {}

#[test]
#[monitor]
#[should_panic(expected = "below")]
fn m60_below_test() {
    panic!("below");
}

#[monitor]
#[rstest]
#[case(1, 2)]
#[case(2, 3)]
fn m60_above_rstest(#[case] number: u32, #[case] next: u32) {
    assert_eq!(number + 1, next);
}

#[rstest]
#[case(1, 2)]
#[monitor]
fn m60_below_rstest(#[case] number: u32, #[case] next: u32) -> Result<(), String> {
    if number + 1 == next { Ok(()) } else { Err(format!("{next} does not follow {number}")) }
}

#[monitor]
#[rstest]
#[case(1, 2)]
#[tokio::test]
async fn m60_above_an_async_rstest(#[case] number: u32, #[case] next: u32) {
    tokio::task::yield_now().await;
    assert_eq!(number + 1, next);
}

#[monitor]
mod module_of_tests {
    #[test]
    fn m60_a_test_in_a_module_with_the_attribute() {}

    #[tokio::test]
    async fn m60_an_async_test_in_a_module_with_the_attribute() {
        tokio::task::yield_now().await;
    }
}
