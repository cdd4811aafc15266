//! Finds out whether a name occurs in tokens.
//!
//! Takes tokens and a name. Returns whether the name occurs, without parsing a body, so that the expansion
//! knows whether the user's code uses an argument. A field or method of the same name (`x.name`) does not
//! count. The name in a format string (`"{name}"`) does. Scopes are not known: a local variable of the same
//! name counts as a mention.

use proc_macro2::{Ident, TokenStream, TokenTree};
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

    use super::{Ident, mentions};

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
}
