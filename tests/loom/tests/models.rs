//! Asserts that every model holds over enough interleavings to mean something, and that it fails once the orderings
//! that it checks are weakened.

#![allow(clippy::print_stdout, reason = "prints the number of interleavings")]

use monitor_loom::{Explored, Weakened, models};

/// Asserts that a model held over at least this many interleavings.
#[track_caller]
fn holds(explored: Explored, runs_min: usize) {
    match explored {
        Explored::Held(runs) => {
            assert!(runs >= runs_min, "only {runs} interleavings: the threads do not meet");
            println!("{runs} interleavings");
        }
        Explored::Failed(why) => panic!("{why}"),
    }
}

/// Asserts that a model with a planted bug failed.
#[track_caller]
fn fails(explored: &Explored) {
    match explored {
        Explored::Held(runs) => panic!("the planted bug went unnoticed in {runs} interleavings"),
        Explored::Failed(why) => println!("noticed: {why}"),
    }
}

#[test]
fn headers_come_out_whole_once_and_in_order() {
    holds(models::headers(Weakened::Nothing), 1000);
}

#[test]
fn headers_published_without_release_are_seen_to_tear() {
    fails(&models::headers(Weakened::Releases));
}

#[test]
fn headers_taken_without_acquire_are_seen_to_tear() {
    fails(&models::headers(Weakened::Acquires));
}

#[test]
fn values_behind_a_skip_come_out_whole() {
    holds(models::values(Weakened::Nothing), 300);
}

#[test]
fn values_published_without_release_are_seen_to_tear() {
    fails(&models::values(Weakened::Releases));
}

#[test]
fn values_taken_without_acquire_are_seen_to_tear() {
    fails(&models::values(Weakened::Acquires));
}

#[test]
fn a_ring_that_is_completed_meanwhile_loses_nothing() {
    holds(models::completing(Weakened::Nothing), 200);
}

#[test]
fn a_countdown_is_read_while_it_counts() {
    holds(models::countdown(Weakened::Nothing), 500);
}

#[test]
fn a_countdown_of_two_owners_is_seen_to_lose_calls() {
    fails(&models::countdown_of_two_owners());
}

#[test]
fn a_ring_closed_by_its_producer_loses_nothing() {
    holds(models::closing(Weakened::Nothing), 300);
}

#[test]
fn the_collector_sees_each_count_of_a_thread_once() {
    holds(models::tally(Weakened::Nothing), 1000);
}

#[test]
fn two_owners_of_a_tally_are_seen_to_lose_calls() {
    fails(&models::tally_of_two_owners());
}

#[test]
fn two_threads_may_count_in_one_table() {
    holds(models::shared_tally(Weakened::Nothing), 50);
}

#[test]
fn words_that_change_together_are_read_together() {
    holds(models::versioned(Weakened::Nothing), 100);
}

#[test]
fn words_published_without_release_are_seen_to_tear() {
    fails(&models::versioned(Weakened::Releases));
}

#[test]
fn words_read_without_acquire_are_seen_to_tear() {
    fails(&models::versioned(Weakened::Acquires));
}

#[test]
fn one_call_at_a_time_tries_whether_a_part_is_back() {
    holds(models::one_try_at_a_time(Weakened::Nothing), 100);
}

#[test]
fn a_try_freed_without_release_is_seen_to_overlap_the_next() {
    fails(&models::one_try_at_a_time(Weakened::Releases));
}

#[test]
fn a_try_claimed_without_acquire_is_seen_to_overlap_the_last() {
    fails(&models::one_try_at_a_time(Weakened::Acquires));
}

#[test]
fn one_call_tries_and_closes_the_breaker() {
    holds(models::one_try_closes(Weakened::Nothing), 100);
}

#[test]
fn a_call_that_finds_the_breaker_open_knows_the_pause() {
    holds(models::pause_of_an_opening(Weakened::Nothing), 10);
}

#[test]
fn an_opening_published_without_release_is_seen_without_its_pause() {
    fails(&models::pause_of_an_opening(Weakened::Releases));
}
