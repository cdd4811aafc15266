//! Asserts what `#[monitor]` tells a user who made a mistake, and what rustc says about a body under it. The files in
//! `tests/ui` are named by their rule.

#[test]
fn mistakes_are_reported_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
