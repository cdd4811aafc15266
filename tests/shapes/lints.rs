//! Lints that an expansion might raise in the name of the user: M90.
//!
//! Lints that the crate around denies are not repeated here.

#![deny(
    absolute_paths_not_starting_with_crate,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    keyword_idents,
    let_underscore_drop,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_debug_implementations,
    redundant_lifetimes,
    rust_2018_idioms,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_extern_crates,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
#![deny(
    clippy::absolute_paths,
    clippy::allow_attributes,
    clippy::cognitive_complexity,
    clippy::dbg_macro,
    clippy::else_if_without_else,
    clippy::exhaustive_structs,
    clippy::fn_to_numeric_cast_any,
    clippy::future_not_send,
    clippy::implicit_return,
    clippy::large_futures,
    clippy::large_stack_frames,
    clippy::let_underscore_must_use,
    clippy::let_underscore_untyped,
    clippy::missing_assert_message,
    clippy::mixed_read_write_in_expression,
    clippy::mutex_atomic,
    clippy::needless_collect,
    clippy::needless_raw_strings,
    clippy::panic_in_result_fn,
    clippy::pattern_type_mismatch,
    clippy::question_mark_used,
    clippy::redundant_clone,
    clippy::redundant_type_annotations,
    clippy::ref_patterns,
    clippy::same_name_method,
    clippy::semicolon_inside_block,
    clippy::semicolon_outside_block,
    clippy::shadow_reuse,
    clippy::shadow_same,
    clippy::shadow_unrelated,
    clippy::std_instead_of_core,
    clippy::suspicious_else_formatting,
    clippy::tuple_array_conversions,
    clippy::undocumented_unsafe_blocks,
    clippy::unneeded_field_pattern,
    clippy::unreachable,
    clippy::unwrap_in_result,
    clippy::useless_let_if_seq,
    clippy::wildcard_enum_match_arm
)]
#![allow(clippy::needless_return, reason = "the opposite of what `implicit_return` asks for")]

use core::error::Error;
use core::future::Future;
use core::pin::Pin;

use monitored::monitor;
use std::panic;

use super::support::{block_on, yield_now};

/// A type with documentation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    value: u32,
}

/// The actions of a counter.
pub(super) trait Count {
    /// Counts.
    #[monitor]
    fn count(&mut self, _by: u32) -> Result<u32, Box<dyn Error>> {
        return Err("not implemented".into());
    }
}

impl Count for Counter {
    #[monitor]
    fn count(&mut self, by: u32) -> Result<u32, Box<dyn Error>> {
        if by == 0 {
            return Err("nothing to count".into());
        }
        self.value += by;
        return Ok(self.value);
    }
}

#[monitor]
impl Counter {
    /// Makes one.
    pub(super) fn new(value: u32) -> Self {
        return Self { value };
    }

    fn reference(&mut self) -> &mut u32 {
        return &mut self.value;
    }

    fn unit(&mut self, _ignored: &str) {
        self.value += 1;
    }

    async fn later(&mut self, by: u32, _ignored: &str) -> u32 {
        yield_now().await;
        self.value += by;
        return self.value;
    }

    async fn nothing_later(&mut self) {
        yield_now().await;
        self.value += 1;
    }

    fn boxed(self, by: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        return Box::pin(async move {
            return self.value + by;
        });
    }

    fn boxed_elsewhere(self, by: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        let sum = by + 1;
        return self.boxed(sum);
    }

    fn opaque(self, by: u32) -> impl Future<Output = u32> + Send {
        return async move {
            return self.value + by;
        };
    }

    #[track_caller]
    fn tracked(self, by: Option<u32>) -> Option<u32> {
        if let Some(number) = by {
            return Some(number + self.value);
        }
        return None;
    }

    #[track_caller]
    fn tracked_unit(self, out: &mut u32) {
        *out = self.value;
    }

    fn never(self) -> ! {
        panic!("never with {}", self.value);
    }
}

#[monitor(error_if = Option::is_none, fields(by = by))]
fn optional(by: u32, (first, _): (u32, u32), mut more: u32) -> Option<u32> {
    more += first;
    if by == 0 {
        return None;
    }
    return Some(by + more);
}

#[monitor]
async fn parts((first, _): (u32, u32), mut more: u32, _: u32, Counter { mut value }: Counter) -> u32 {
    more += first;
    value += more;
    yield_now().await;
    return value;
}

/// A pair.
#[derive(Debug)]
struct Pair<T>(T, T);

#[monitor]
async fn nested(whole @ Pair(_, _): Pair<u32>, (Pair(by, _), [_, last]): (Pair<u32>, [u32; 2])) -> u32 {
    yield_now().await;
    return whole.0 + whole.1 + by + last;
}

#[test]
fn m90_no_new_warnings() {
    let mut counter = Counter::new(1);
    assert!(counter.count(0).is_err(), "counts nothing");
    assert_eq!(counter.count(1).ok(), Some(2), "counts");
    *counter.reference() += 1;
    counter.unit("");
    assert_eq!(block_on(counter.later(1, "")), 5, "counts later");
    block_on(counter.nothing_later());
    assert_eq!(block_on(counter.boxed(1)) + block_on(counter.opaque(1)), 14, "counts in futures");
    assert_eq!(block_on(counter.boxed_elsewhere(1)), 8, "counts elsewhere");
    assert_eq!(counter.tracked(Some(1)), Some(7), "counts for a caller");
    let mut out = 0;
    counter.tracked_unit(&mut out);
    assert_eq!(out, 6, "counts into a place");
    assert_eq!(block_on(parts((1, 2), 3, 4, Counter::new(5))), 9, "counts parts");
    assert_eq!(block_on(nested(Pair(1, 2), (Pair(3, 4), [5, 6]))), 12, "counts nested parts");
    assert_eq!(optional(1, (2, 3), 4), Some(7), "counts if asked to");
    assert_eq!(optional(0, (2, 3), 4), None, "counts only if asked to");
    assert!(panic::catch_unwind(move || counter.never()).is_err(), "never returns");
}
