//! Twelve functions share the time evenly.

use monitored::monitor;

use crate::wait;

#[monitor]
fn parse(step: u64) {
    wait(step);
}

#[monitor]
fn sort(step: u64) {
    wait(step);
}

#[monitor]
fn merge(step: u64) {
    wait(step);
}

#[monitor]
fn index(step: u64) {
    wait(step);
}

#[monitor]
fn rank(step: u64) {
    wait(step);
}

#[monitor]
fn score(step: u64) {
    wait(step);
}

#[monitor]
fn filter(step: u64) {
    wait(step);
}

#[monitor]
fn join(step: u64) {
    wait(step);
}

#[monitor]
fn group(step: u64) {
    wait(step);
}

#[monitor]
fn count(step: u64) {
    wait(step);
}

#[monitor]
fn trim(step: u64) {
    wait(step);
}

#[monitor]
fn emit(step: u64) {
    wait(step);
}

/// Calls twelve functions, all of which take 3 ms but the last, which takes `last` ms.
pub(crate) fn twelve(last: u64) {
    for _ in 0..20 {
        for function in [parse, sort, merge, index, rank, score, filter, join, group, count, trim] {
            function(3);
        }
        emit(last);
    }
}

pub(crate) fn run() {
    twelve(3);
}
