//! Turns names of edition 2015 that are keywords in later editions into raw identifiers, which syn parses.
//!
//! Takes the head of a function. Returns it with `r#async` in place of a name `async`, and likewise for `await`, `dyn` and
//! `try`; both spellings name the same thing in edition 2015. A word that is a keyword at its place stays as it is.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Returns the tokens with a raw identifier for each `async`, `await`, `dyn` and `try` that is a name.
pub(crate) fn with_raw_names(tokens: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let is_word = |at: usize, words: &[&str]| matches!(trees.get(at), Some(TokenTree::Ident(found)) if words.iter().any(|word| found == word));
    let output = trees.iter().enumerate().map(|(at, tree)| match tree {
        TokenTree::Ident(word) => {
            let is_function = at.checked_sub(1).is_some_and(|before| is_word(before, &["fn"]));
            let is_argument =
                matches!(trees.get(at + 1), Some(TokenTree::Punct(next)) if next.as_char() == ':');
            let is_name = is_word(at, &["dyn"]) && (is_function || is_argument)
                || is_word(at, &["async"]) && !is_word(at + 1, &["fn", "unsafe", "extern"])
                || is_word(at, &["await", "try"]);
            if is_name { Ident::new_raw(&word.to_string(), word.span()).into() } else { tree.clone() }
        }
        TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {
            let mut inside = Group::new(group.delimiter(), with_raw_names(group.stream()));
            inside.set_span(group.span());
            inside.into()
        }
        _ => tree.clone(),
    });
    output.collect()
}

#[cfg(test)]
mod tests {
    use super::with_raw_names;
    use crate::function::parse_head;
    use proc_macro2::TokenStream;
    use syn::parse::Parser as _;

    #[test]
    fn names_are_raw_and_keywords_stay() {
        for (source, expected) in [
            ("pub fn async()", "pub fn r#async()"),
            ("fn dyn(dyn: u8, try: &dyn Fn(u8))", "fn r#dyn(r#dyn: u8, r#try: &dyn Fn(u8))"),
            ("async fn await(async: path::async::T)", "async fn r#await(r#async: path::r#async::T)"),
            ("async unsafe fn r#try()", "async unsafe fn r#try()"),
        ] {
            let raw = with_raw_names(source.parse().expect("tokens"));
            let expected: TokenStream = expected.parse().expect("tokens");
            assert_eq!(raw.to_string(), expected.to_string());
            assert!(parse_head.parse2(raw).is_ok(), "{source}");
        }
    }
}
