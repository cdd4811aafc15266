//! Monitored functions that also carry attributes of other tools (the tests `m63_…`), in a crate that knows `monitored`
//! under another name (the test `m51_…`).
#![cfg(test)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use observed::monitor;

/// The output of a future that is ready.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is ready"),
    }
}

#[test]
fn m51_a_crate_under_another_name() {
    struct Book(u32);
    #[monitor(crate = ::observed)]
    impl Book {
        fn open(&self, number: u32) -> Result<u32, String> {
            if number == 0 { Err(String::from("zero")) } else { Ok(self.0 + number) }
        }
        async fn later(&self, number: u32) -> u32 {
            self.0 + number
        }
        #[monitor(skip(number))]
        fn own(&self, number: u32) -> u32 {
            self.0 + number
        }
    }
    #[observed::monitor(crate = observed)]
    fn function((a, b): (u32, u32)) -> u32 {
        a + b
    }
    let book = Book(1);
    assert_eq!(book.open(1).unwrap_or(0) + ready(book.later(1)) + book.own(1) + function((1, 2)), 9);
}

#[test]
fn m63_above_automock() {
    #[monitor(crate = ::observed)]
    #[mockall::automock]
    trait Gate {
        fn open(&self, number: u32) -> Result<u32, String> {
            if number == 0 {
                return Err(String::from("zero"));
            }
            Ok(number + self.offset())
        }
        #[monitor(skip(text))]
        fn measure(&self, text: &str) -> usize {
            text.len()
        }
        #[monitor(off)]
        fn close(&self) {}
        fn offset(&self) -> u32;
    }
    #[monitor(crate = ::observed)]
    #[cfg_attr(all(), mockall::automock)]
    trait Door {
        fn knock(&self, times: u32) -> u32 {
            times * 2
        }
    }
    struct Real;
    #[monitor(crate = ::observed)]
    impl Gate for Real {
        fn offset(&self) -> u32 {
            1
        }
    }
    impl Door for Real {}
    assert_eq!((Real.open(1), Real.open(0).is_err(), Real.measure("ab"), Real.knock(2)), (Ok(2), true, 2, 4));
    Real.close();
    let mut gate = MockGate::new();
    gate.expect_open().returning(|number| Ok(number + 10));
    gate.expect_measure().returning(|_| 3);
    gate.expect_offset().returning(|| 4);
    gate.expect_close().returning(|| ());
    gate.close();
    assert_eq!((gate.open(1), gate.measure(""), gate.offset()), (Ok(11), 3, 4));
    let mut door = MockDoor::new();
    door.expect_knock().returning(|times| times);
    assert_eq!(door.knock(2), 2);
}

#[test]
fn m63_beside_tracing() {
    #[monitor(crate = ::observed)]
    #[tracing::instrument(skip(text), err)]
    fn above(number: u32, text: &str) -> Result<u32, String> {
        if text.is_empty() { Err(String::from("empty")) } else { Ok(number) }
    }
    #[tracing::instrument(ret)]
    #[monitor(crate = ::observed)]
    fn below(number: u32, (a, b): (u32, u32)) -> u32 {
        number + a + b
    }
    #[monitor(crate = ::observed)]
    #[tracing::instrument(skip_all)]
    async fn above_later(number: u32) -> Result<u32, String> {
        Ok(number)
    }
    #[tracing::instrument]
    #[monitor(crate = ::observed)]
    async fn below_later(number: u32, text: &str) -> u32 {
        number + u32::from(text.is_empty())
    }
    assert_eq!(above(1, "a"), Ok(1));
    assert!(above(1, "").is_err());
    assert_eq!(below(1, (2, 3)), 6);
    assert_eq!((ready(above_later(1)), ready(below_later(1, ""))), (Ok(1), 2));
}

#[cfg(feature = "fastrace")]
#[test]
fn m63_beside_fastrace() {
    #[monitor(crate = ::observed)]
    #[fastrace::trace]
    fn above(number: u32) -> Result<u32, String> {
        Ok(number)
    }
    #[fastrace::trace]
    #[monitor(crate = ::observed)]
    fn below(number: u32) -> u32 {
        number
    }
    #[monitor(crate = ::observed)]
    #[fastrace::trace]
    async fn above_later(number: u32) -> u32 {
        number
    }
    #[fastrace::trace]
    #[monitor(crate = ::observed)]
    async fn below_later(number: u32) -> Result<u32, String> {
        Ok(number)
    }
    assert_eq!((above(1), below(1), ready(above_later(1)), ready(below_later(1))), (Ok(1), 1, 1, Ok(1)));
}

#[cfg(feature = "hotpath")]
#[test]
fn m63_beside_hotpath() {
    #[monitor(crate = ::observed)]
    #[hotpath::measure]
    fn above(number: u32) -> Result<u32, String> {
        Ok(number)
    }
    #[hotpath::measure]
    #[monitor(crate = ::observed)]
    fn below(number: u32) -> u32 {
        number
    }
    #[monitor(crate = ::observed)]
    #[hotpath::measure]
    async fn above_later(number: u32) -> u32 {
        number
    }
    #[hotpath::measure]
    #[monitor(crate = ::observed)]
    async fn below_later(number: u32) -> Result<u32, String> {
        Ok(number)
    }
    assert_eq!((above(1), below(1), ready(above_later(1)), ready(below_later(1))), (Ok(1), 1, 1, Ok(1)));
}
