//! Runs each target for as many executions as an ordinary run of the tests affords.
#![allow(clippy::print_stdout, reason = "prints the number of executions")]

use monitor_fuzz::{drive, targets};

fn run(name: &str, target: drive::Target, executions: u64) {
    println!("{name}: {} executions", drive::run(name, target, executions));
}

#[test]
fn ring_words() {
    run("ring_words", targets::words, 20_000);
}

#[test]
fn ring_images() {
    run("ring_images", targets::image, 20_000);
}

#[test]
fn ring_files() {
    run("ring_files", targets::ring_file, 300);
}

#[test]
fn tokens() {
    run("tokens", targets::tokens, 20_000);
}

#[test]
fn serializer() {
    run("serializer", targets::serializer, 20_000);
}

#[test]
fn settings() {
    run("settings", targets::settings, 2_000);
}

#[test]
fn rates() {
    run("rates", targets::rates, 10_000);
}
