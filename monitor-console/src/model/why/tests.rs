//! Tables of facts with a cause that is known.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a failed unwrap is a failed test")]

use super::attributes::{self, Attribute, Known};
use super::facts::StoredCall;
use super::lift::Condition;
use super::parts::{PartName, Spent};
use super::*;
use crate::model::basis::Basis;
use crate::model::windows::Sum;

const MS: i64 = 1_000_000;

/// Returns facts of `n` calls, each made of its number.
fn facts(n: i64, of: impl Fn(i64) -> CallFacts) -> Facts {
    Facts { sum: Sum::default(), calls: (0..n).map(of).collect(), has_args: true, basis: Basis::default() }
}

fn call(n: i64, duration_ns: i64, args: &str) -> CallFacts {
    let stored = StoredCall {
        call_id: n,
        start_ns: n * MS,
        thread: "main".to_owned(),
        process_id: 1,
        args: Some(args.to_owned()),
        ..StoredCall::default()
    };
    CallFacts {
        store: 0,
        call_id: n,
        start_ns: n * MS,
        duration_ns,
        weight: 1.0,
        is_failed: false,
        attributes: attributes::collect(&stored, Some("caller".to_owned())),
        spent: None,
    }
}

/// Returns a duration around a middle that differs from call to call.
fn around(ns: i64, n: i64) -> i64 {
    ns + ns * ((n * 7919) % 21 - 10) / 100
}

#[test]
fn the_shape_of_an_argument_is_named_if_the_slow_calls_share_it() {
    let facts = facts(200, |n| {
        let is_slow = n % 4 == 0;
        let (letter, ns) = if is_slow { ('L', 3 * MS) } else { ('S', MS / 30) };
        call(n, around(ns, n), &format!(r#"{{"sku":"{letter}-{}"}}"#, 60_000 + n))
    });
    let answer = answer(&facts, Group::Slow).unwrap();
    assert_eq!((answer.rows, answer.cut.unwrap().is_gap), ([50, 150], true));
    let common = answer.common.unwrap();
    assert_eq!(common.len(), 1, "{common:?}");
    assert_eq!(
        (common[0].key.as_str(), &common[0].condition),
        ("args.sku", &Condition::Like("L-#".to_owned()))
    );
    assert_eq!((common[0].shares, common[0].rows), ([1.0, 0.0], 50));
}

#[test]
fn the_size_of_a_number_and_of_a_list_is_named() {
    let by_number = facts(400, |n| {
        let quantity = n % 100;
        call(
            n,
            around(if quantity >= 90 { 50 * MS } else { MS }, n),
            &format!(r#"{{"quantity":{quantity}}}"#),
        )
    });
    let common = answer(&by_number, Group::Slow).unwrap().common.unwrap();
    assert_eq!(common[0].condition, Condition::AtLeast(90.0), "{common:?}");
    let by_items = facts(400, |n| {
        let items = if n % 10 == 0 { 500 + n } else { n % 7 };
        call(
            n,
            around(if n % 10 == 0 { 50 * MS } else { MS }, n),
            &format!(r#"{{"ids":"[{items} items, truncated]"}}"#),
        )
    });
    let common = answer(&by_items, Group::Slow).unwrap().common.unwrap();
    assert_eq!((common[0].key.as_str(), common[0].shares), ("args.ids (items)", [1.0, 0.0]), "{common:?}");
}

#[test]
fn failed_calls_are_compared_with_the_others() {
    let facts = facts(300, |n| {
        let issuer = if n % 5 == 0 { "nordbank" } else { "südbank" };
        let mut call =
            call(n, MS, &format!(r#"{{"charge":"Charge {{ order: {n}, issuer: \"{issuer}\" }}"}}"#));
        call.is_failed = n % 5 == 0;
        call
    });
    assert_eq!(answer(&facts, Group::Slow), None, "all calls last alike");
    let answer = answer(&facts, Group::Failed).unwrap();
    let common = answer.common.unwrap();
    assert_eq!(common[0].key, "args.charge.issuer");
    assert_eq!(common[0].condition, Condition::Is("\"nordbank\"".to_owned()));
    assert_eq!(common[0].shares, [1.0, 0.0]);
}

#[test]
fn noise_has_nothing_in_common_at_any_seed() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let calls = (0..500)
            .map(|n| {
                let args = format!(
                    r#"{{"a":{},"b":"x{}","c":{},"d":"{}"}}"#,
                    random.u32(0..1000),
                    random.u32(0..10),
                    random.bool(),
                    random.alphabetic()
                );
                call(n, 1 + i64::from(random.u32(0..1_000_000)), &args)
            })
            .collect();
        let facts = Facts { calls, ..facts(0, |n| call(n, 1, "{}")) };
        let answer = answer(&facts, Group::Slow).unwrap();
        assert_eq!(answer.common, Ok(Vec::new()), "seed {seed}");
    }
}

#[test]
fn few_rows_and_few_effective_rows_cannot_tell() {
    let few = facts(60, |n| call(n, around(if n % 10 == 0 { 50 * MS } else { MS }, n), r#"{"x":1}"#));
    assert!(answer(&few, Group::Slow).unwrap().common.unwrap_err().starts_with("6 slow rows"));
    let mut uneven = facts(400, |n| call(n, around(if n % 10 == 0 { 50 * MS } else { MS }, n), r#"{"x":1}"#));
    uneven.calls[0].weight = 1e6;
    assert!(answer(&uneven, Group::Slow).unwrap().common.is_err());
}

#[test]
fn without_a_gap_the_slowest_calls_are_taken() {
    let facts = facts(3000, |n| call(n, MS + n * 100, "{}"));
    let answer = answer(&facts, Group::Slow).unwrap();
    assert!(!answer.cut.unwrap().is_gap);
    assert_eq!(answer.rows, [30, 2970]);
    let few = super::tests::facts(300, |n| call(n, MS + n * 100, "{}"));
    assert_eq!(super::answer(&few, Group::Slow).unwrap().rows[0], 20);
}

#[test]
fn a_burst_is_told_and_the_time_is_split_into_its_parts() {
    let mut facts = facts(1000, |n| {
        let is_slow = (600..700).contains(&n);
        call(n, around(if is_slow { 20 * MS } else { MS }, n), "{}")
    });
    for (n, call) in facts.calls.iter_mut().enumerate() {
        let is_slow = (600..700).contains(&n);
        call.spent = Some(Spent {
            callees: vec![("db::query".to_owned(), 1, if is_slow { 19 * MS } else { MS / 2 })],
            computing_ns: MS / 2,
            waiting_ns: 0,
        });
    }
    let answer = answer(&facts, Group::Slow).unwrap();
    let (from, until) = answer.when.burst_ns.unwrap();
    assert!(from >= 600 * MS && until < 700 * MS);
    assert!((answer.when.counts.iter().sum::<f64>() - 100.0).abs() < 1e-9);
    assert_eq!(answer.parts[0].name, PartName::Callee("db::query".to_owned()));
    assert!(
        (answer.parts[0].mean_ns[0] - 19e6).abs() < 1.0 && (answer.parts[0].mean_ns[1] - 5e5).abs() < 1.0
    );
    assert_eq!(answer.parts.last().unwrap().name, PartName::Computing);
}

#[test]
fn a_number_that_rises_with_time_is_no_cause() {
    let facts = facts(1000, |n| {
        let is_slow = n < 100;
        let number = 5000 + n - n % 3;
        call(n, around(if is_slow { 20 * MS } else { MS }, n), &format!(r#"{{"order":{number}}}"#))
    });
    assert_eq!(answer(&facts, Group::Slow).unwrap().common, Ok(Vec::new()));
}

#[test]
fn attributes_of_one_key_are_told_once() {
    let mut facts = facts(200, |n| call(n, around(if n % 4 == 0 { 30 * MS } else { MS }, n), "{}"));
    for call in &mut facts.calls {
        let is_slow = call.call_id % 4 == 0;
        let exact = Known::Exact(if is_slow { "1000" } else { "1" }.to_owned());
        let number = Known::Number(if is_slow { 1000.0 } else { 1.0 });
        call.attributes = [exact, number].map(|value| Attribute { key: "args.n".to_owned(), value }).to_vec();
    }
    let common = answer(&facts, Group::Slow).unwrap().common.unwrap();
    assert_eq!(common.len(), 1);
    assert_eq!(common[0].condition, Condition::Is("1000".to_owned()));
}
