//! Adds `dyn` to the bare trait objects of edition 2018, which syn does not parse without it.
//!
//! Takes the head of a function. Returns it with `dyn` before each trait of closures (`&Fn(u8) -> u8`) and each
//! `for<'a> …` at the place of a type. A bound (`T: Fn(u8)`) stays as it is.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

/// Returns the tokens with `dyn` before each bare trait object.
pub(crate) fn with_dyn(tokens: TokenStream) -> TokenStream {
    insert(tokens, false)
}

fn insert(tokens: TokenStream, is_nested: bool) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut output = TokenStream::new();
    let mut angles = 0_usize;
    for (at, tree) in trees.iter().enumerate() {
        let before = &trees[..at];
        if let TokenTree::Punct(punct) = tree {
            match punct.as_char() {
                '<' => angles += 1,
                '>' if !ends_with(before, '-') => angles = angles.saturating_sub(1),
                _ => {}
            }
        }
        let is_bound_by_for =
            matches!(tree, TokenTree::Ident(word) if word == "for") && (is_nested || angles > 0);
        let is_object = is_bound_by_for
            && !matches!(before.last(), Some(TokenTree::Ident(word)) if word == "where")
            || is_closure_trait(&trees[at..]);
        if is_object && is_place_of_type(before, is_nested) {
            output.extend([TokenTree::Ident(Ident::new("dyn", Span::call_site()))]);
        }
        output.extend([match tree {
            TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {
                let mut inside = Group::new(group.delimiter(), insert(group.stream(), true));
                inside.set_span(group.span());
                TokenTree::Group(inside)
            }
            tree => tree.clone(),
        }]);
    }
    output
}

/// Returns whether the tokens begin with a path to `Fn(…)`, `FnMut(…)` or `FnOnce(…)`.
fn is_closure_trait(mut rest: &[TokenTree]) -> bool {
    loop {
        rest = match rest {
            [TokenTree::Ident(_), first, second, after @ ..]
                if is_punct(first, ':') && is_punct(second, ':') =>
            {
                after
            }
            [first, second, after @ ..] if is_punct(first, ':') && is_punct(second, ':') => after,
            [TokenTree::Ident(last), TokenTree::Group(arguments), ..] => {
                return (last == "Fn" || last == "FnMut" || last == "FnOnce")
                    && arguments.delimiter() == Delimiter::Parenthesis;
            }
            _ => return false,
        };
    }
}

/// Returns whether a type may follow these tokens, and not a bound or the rest of a path.
fn is_place_of_type(before: &[TokenTree], is_nested: bool) -> bool {
    match before {
        [] => is_nested,
        [.., quote, TokenTree::Ident(_)] if is_punct(quote, '\'') => true,
        [.., TokenTree::Ident(word)] => word == "mut",
        [.., colon, TokenTree::Punct(second)] if second.as_char() == ':' && is_punct(colon, ':') => false,
        [.., TokenTree::Punct(punct)] => match punct.as_char() {
            '&' | '<' | ',' | '=' => true,
            // After `:`, an argument (in parentheses) has a type, and a type parameter has a bound.
            ':' => is_nested,
            '>' => ends_with(&before[..before.len() - 1], '-'),
            _ => false,
        },
        _ => false,
    }
}

fn ends_with(tokens: &[TokenTree], sign: char) -> bool {
    tokens.last().is_some_and(|tree| is_punct(tree, sign))
}

fn is_punct(tree: &TokenTree, sign: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;
    use syn::parse::Parser as _;

    use super::with_dyn;
    use crate::function::parse_head;

    #[test]
    fn bare_trait_objects_are_named_and_bounds_are_not() {
        for (source, expected) in [
            ("fn a(f: &Fn(u8) -> u8) -> u8", "fn a(f: &dyn Fn(u8) -> u8) -> u8"),
            ("fn a(f: &'a mut FnMut())", "fn a(f: &'a mut dyn FnMut())"),
            ("fn a(f: &(Fn(u8) + Send))", "fn a(f: &(dyn Fn(u8) + Send))"),
            ("fn a() -> Box<std::ops::Fn() + Send>", "fn a() -> Box<dyn std::ops::Fn() + Send>"),
            ("fn a(f: Box<for<'a> Fn(&'a u8)>)", "fn a(f: Box<dyn for<'a> Fn(&'a u8)>)"),
            ("fn a(f: &for<'a> Fn(&'a u8))", "fn a(f: &dyn for<'a> Fn(&'a u8))"),
            (
                "fn a<T: Fn(u8)>(f: T) where for<'a> T: Fn(&'a u8), Box<Fn() + Send>: Send",
                "fn a<T: Fn(u8)>(f: T) where for<'a> T: Fn(&'a u8), Box<dyn Fn() + Send>: Send",
            ),
        ] {
            let named = with_dyn(source.parse().expect("tokens"));
            let expected: TokenStream = expected.parse().expect("tokens");
            assert_eq!(named.to_string().replace(' ', ""), expected.to_string().replace(' ', ""));
            assert!(parse_head.parse2(named).is_ok(), "{source}");
        }
    }
}
