//! Finds out whether a name occurs in tokens, or is assigned to.
//!
//! Takes tokens and a name. Returns whether the name occurs, without parsing a body, so that the expansion
//! knows whether the user's code uses an argument. A field or method of the same name (`x.name`) does not
//! count. The name in a format string (`"{name}"`) does. Scopes are not known: a local variable of the same
//! name counts as a mention.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt as _;

/// Returns whether `tokens` mention `name` at any depth.
pub(crate) fn mentions(tokens: &TokenStream, name: &Ident) -> bool {
    mentions_text(tokens, &name.unraw().to_string())
}

fn mentions_text(tokens: &TokenStream, name: &str) -> bool {
    let mut dots = 0;
    for tree in tokens.clone() {
        let found = match &tree {
            // One dot stands before a field, two dots stand before the end of a range.
            TokenTree::Ident(ident) => dots != 1 && ident.unraw() == name,
            TokenTree::Group(group) => mentions_text(&group.stream(), name),
            TokenTree::Literal(literal) => is_in_format_string(&literal.to_string(), name),
            TokenTree::Punct(_) => false,
        };
        if found {
            return true;
        }
        dots = match &tree {
            TokenTree::Punct(punct) if punct.as_char() == '.' => dots + 1,
            _ => 0,
        };
    }
    false
}

/// Returns whether `tokens` assign to `name` or to a place in it (`name.field[0] += 1`), at any depth.
pub(crate) fn assigns(tokens: &TokenStream, name: &Ident) -> bool {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    trees.iter().enumerate().any(|(at, tree)| match tree {
        TokenTree::Group(group) => assigns(&group.stream(), name),
        TokenTree::Ident(ident) => {
            ident.unraw() == name.unraw()
                && !trees[..at].last().is_some_and(|before| is_punct(before, '.'))
                && is_assigned(&trees[at + 1..])
        }
        _ => false,
    })
}

/// Returns whether the tokens after a name select a place in it and assign to the place.
fn is_assigned(mut rest: &[TokenTree]) -> bool {
    loop {
        rest = match rest {
            [dot, TokenTree::Ident(_) | TokenTree::Literal(_), after @ ..] if is_punct(dot, '.') => after,
            [TokenTree::Group(index), after @ ..] if index.delimiter() == Delimiter::Bracket => after,
            _ => break,
        };
    }
    let signs: String = rest
        .iter()
        .map_while(|tree| match tree {
            TokenTree::Punct(punct) => Some(punct.as_char()),
            _ => None,
        })
        .collect();
    let operator = signs.trim_start_matches(['+', '-', '*', '/', '%', '^', '&', '|']);
    let operator = operator.strip_prefix("<<").or_else(|| operator.strip_prefix(">>")).unwrap_or(operator);
    operator.strip_prefix('=').is_some_and(|after| !after.starts_with(['=', '>']))
}

fn is_punct(tree: &TokenTree, sign: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_in_format_string(literal: &str, name: &str) -> bool {
    literal.contains('{')
        && literal.match_indices(name).any(|(at, _)| {
            let before = literal[..at].trim_end().chars().next_back();
            let after = literal[at + name.len()..].chars().next();
            // `{name}`, `{name:?}`, `{:>name$}`.
            matches!(before, Some('{' | ':' | '>' | '<' | '^' | '.' | '0'..='9'))
                && !after.is_some_and(|after| after.is_alphanumeric() || after == '_')
        })
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::{Ident, assigns, mentions};

    #[test]
    fn a_name_is_found_where_it_is_used() {
        let name = Ident::new("id", Span::call_site());
        for source in
            ["f(id)", "0..id", "vec![(id)]", "println!(\"{id:?}\")", "r#id", "\"{:>id$}\"", "{ Foo { id } }"]
        {
            assert!(mentions(&source.parse().expect("tokens"), &name), "{source}");
        }
        for source in ["x.id", "idle", "\"id\"", "\"{idle}\"", "f()"] {
            assert!(!mentions(&source.parse().expect("tokens"), &name), "{source}");
        }
    }

    #[test]
    fn an_assignment_is_found_at_any_place_in_a_name() {
        let name = Ident::new("id", Span::call_site());
        for source in
            ["id = 1;", "{ id.len = 0; }", "id.0[f(x)] += 1", "if a { id <<= 2 }", "id = -1", "id = *b"]
        {
            assert!(assigns(&source.parse().expect("tokens"), &name), "{source}");
        }
        for source in ["x.id = 1", "id == 1", "match a { id => 1 }", "id <= 1", "let a = id;", "id.f() == 1"]
        {
            assert!(!assigns(&source.parse().expect("tokens"), &name), "{source}");
        }
    }
}
