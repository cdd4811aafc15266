//! Scenarios in which the program controls its recorder itself: streams, sampling rates, breaker, settings in code.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use monitored::{Config, Level, Record, monitor};

use super::{IN_TIME, wait_until};

#[monitor]
fn work(number: u64) -> Result<u64, String> {
    if number == 3 { Err(format!("{number} is one too many")) } else { Ok(number) }
}

/// Makes this many calls and prints what a subscriber received of them, and that it received nothing after it had
/// ended.
pub(crate) fn subscribe(number: u64) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&received);
    let subscription = monitored::subscribe(move |records: &[Record]| {
        if let Ok(mut received) = shared.lock() {
            received.extend(records.iter().cloned());
        }
    });
    for at in 0..number {
        let _ = work(at);
    }
    wait_until(|| received.lock().is_ok_and(|received| received.len() as u64 >= number));
    let missed = subscription.missed();
    drop(subscription);
    let _ = work(0);
    println!("{:?}", monitored::flush(IN_TIME));
    if let Ok(received) = received.lock() {
        println!("{} {missed}", received.len());
        for record in received.iter().filter(|record| record.outcome == monitored::Outcome::Error) {
            let (args, error) = (record.args.as_deref(), record.error.as_deref());
            println!("{} {} {args:?} {error:?} {}", record.function, record.thread, record.weight);
        }
    }
}

/// Makes this many calls at the usual rate, as many at rate zero, and as many after that rate was reset.
pub(crate) fn rates(number: u64) {
    let call_often = || (0..number).for_each(|_| drop(work(0)));
    call_often();
    println!("{:?}", monitored::set_sample_rate("victim::control::*", 0.0));
    call_often();
    println!("{:?}", monitored::reset_sample_rate("victim::control::*"));
    call_often();
    println!("{:?}", monitored::set_sample_rate("victim::*", 1.5).map_err(|error| error.to_string()));
    println!("{:?}", monitored::flush(IN_TIME));
}

/// Holds the breaker open, so that nothing is written, and closes it again, so that everything is.
pub(crate) fn breaker() {
    let breaker = monitored::breaker();
    let _ = work(1);
    println!("{:?} {:?}", monitored::flush(IN_TIME), breaker.state());
    breaker.force_open("the disk is swapped");
    println!("{:?} {}", breaker.state(), breaker.statistics());
    let _ = work(2);
    wait_until(|| monitored::health().level == Level::Degraded);
    println!(
        "{}",
        monitored::flush(Duration::from_millis(200)).is_err_and(|why| why.to_string().contains("swapped"))
    );
    println!("{}", monitored::health().level);
    breaker.force_close("the disk is back");
    println!("{:?}", breaker.state());
    breaker.auto();
    println!("{:?} {:?} {}", monitored::flush(IN_TIME), breaker.state(), monitored::health().level);
}

/// Applies settings from code, which is allowed once and before anything is recorded.
pub(crate) fn init() {
    let bad = monitored::init(Config::new().sample("victim=7"));
    println!("{:?}", bad.map_err(|error| error.to_string()));
    println!("{:?}", monitored::init(Config::new().service("named in code").sample("victim::*=0")));
    let late = monitored::init(Config::new().service("another"));
    println!("{:?}", late.map_err(|error| error.to_string()));
    let _ = (work(1), work(3));
}

/// Takes this long. A call that is to take no time at all is never stuck.
#[monitor]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Subscribes to alerts three times: one closure blocks for ever, one panics, and one prints what it hears. Makes calls of
/// which some fail and one hangs, until standard input ends, and prints its health.
pub(crate) fn alerts() {
    let blocked = monitored::alerts(|_| {
        loop {
            std::thread::park();
        }
    });
    let panicking = monitored::alerts(|_| std::panic::resume_unwind(Box::new("a closure that panics")));
    let told = monitored::alerts(|alert| {
        let (rule, function) = (&alert.rule, alert.function.as_deref().unwrap_or("-"));
        println!("{rule} {} {} {function}", alert.state, alert.level.as_str());
    });
    wait(Duration::from_millis(1));
    let _hangs = std::thread::spawn(|| wait(Duration::from_secs(3600)));
    let mut is_over = super::until_stdin_ends();
    let mut number = 0;
    while !is_over() {
        let _ = work(number % 5);
        number += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    // The rows of alerts are in the store before the health that counts them is published.
    println!("{:?}", monitored::flush(super::IN_TIME));
    println!("{}", monitored::health().to_json());
    drop((blocked, panicking, told));
}

/// Fails a few times a second until standard input ends.
pub(crate) fn fail_slowly() {
    let mut is_over = super::until_stdin_ends();
    while !is_over() {
        let _ = work(3);
        std::thread::sleep(Duration::from_millis(200));
    }
}
