//! Functions and arguments whose names became keywords after edition 2015. The functions are monitored: a function that the
//! attribute cannot read would raise a warning, and warnings are denied.
#![deny(warnings)]
#![allow(keyword_idents, bare_trait_objects, anonymous_parameters, reason = "that is the point")]

extern crate monitored;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use monitored::monitor;

#[monitor]
fn async(number: u8) -> u8 {
    number + 1
}

#[monitor]
fn dyn(dyn: u8, function: &Fn(u8) -> u8) -> Result<u8, String> {
    if dyn > 9 { Err(format!("{} is too many", dyn)) } else { Ok(function(dyn)) }
}

struct Holder(u8);

#[monitor]
impl Holder {
    fn await(&self, async: u8) -> u8 {
        self.0 + async
    }

    fn try(&self) -> u8 {
        self.await(1)
    }
}

#[monitor]
trait Shape {
    fn area(&self, u8) -> u8;

    fn async(&self) -> u8 {
        self.area(1)
    }
}

impl Shape for Holder {
    fn area(&self, times: u8) -> u8 {
        self.0 * times
    }
}

#[test]
fn m23_functions_and_arguments_named_like_later_keywords_are_monitored() {
    monitored::init(monitored::Config::new().db(":memory:")).unwrap();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let names = Arc::clone(&seen);
    let subscription = monitored::subscribe(move |records| {
        let short = |name: &str| name.rsplit("::").next().unwrap_or(name).trim_start_matches("r#").to_owned();
        names.lock().unwrap().extend(records.iter().map(|record| short(&record.function)));
    });
    let holder = Holder(4);
    assert_eq!((async(1), dyn(2, &|byte| byte * 2), dyn(10, &|byte| byte).is_err()), (2, Ok(4), true));
    assert_eq!((holder.await(3), holder.try(), holder.async()), (7, 5, 4));
    monitored::flush(Duration::from_secs(60)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.lock().unwrap().len() < 4 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(subscription);
    let seen: Vec<String> = seen.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, ["async", "await", "dyn", "try"]);
}
