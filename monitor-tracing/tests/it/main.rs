//! Spans as a program makes them, and what the store says of them.
//!
//! Each test runs its program as a process of its own, because the store belongs to a process: this very file, told by a
//! variable which program it is.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;
mod nesting;
mod values;
mod outcomes;
mod futures;
mod events;
mod counts;
mod layers;
mod hostile;
mod killed;

use stage::PROGRAM;

/// The programs, by name.
const PROGRAMS: &[(&str, fn())] = &[
    ("nesting", nesting::program),
    ("parents", nesting::name_parents),
    ("tasks", nesting::run_tasks),
    ("order", nesting::leave_out_of_order),
    ("rayon", nesting::run_pool),
    ("values", values::program),
    ("many-fields", values::record_much),
    ("outcomes", outcomes::program),
    ("status", outcomes::record_status),
    ("within", outcomes::fail_within),
    ("futures", futures::program),
    ("events", events::program),
    ("facade", events::name_fields_like_the_facade),
    ("counts", counts::program),
    ("moved", counts::move_spans),
    ("off", layers::run_off),
    ("beside", layers::run_beside),
    ("twice", layers::add_twice),
    ("list", layers::add_list),
    ("joined", layers::add_joined),
    ("filtered", layers::add_filtered_list),
    ("levels", layers::set_levels),
    ("init", layers::call_init),
    ("taken", layers::call_init_late),
    ("hostile", hostile::program),
    ("killed", killed::program),
    ("exits", killed::leak),
];

#[test]
fn program() {
    let Some(name) = std::env::var_os(PROGRAM) else { return };
    let (_, run) = PROGRAMS.iter().find(|(known, _)| name.to_str() == Some(known)).unwrap();
    run();
    monitored::flush(std::time::Duration::from_secs(60)).unwrap();
}
