//! What `#[monitor]` says to a user who made a mistake, and what rustc says about a body inside it. The
//! files are named by their rule.

#[test]
fn mistakes_are_reported_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
