//! Does a name occur in tokens? Decides, without parsing a body, whether an argument counts as used.
//!
//! A field or method of the same name (`x.name`) does not count; the name in a format text
//! (`"{name}"`) does.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt as _;

/// Is `name` mentioned anywhere in `tokens`?
pub(crate) fn mentions(tokens: &TokenStream, name: &Ident) -> bool {
    search(tokens, &name.unraw().to_string())
}

fn search(tokens: &TokenStream, name: &str) -> bool {
    let mut dots = 0;
    for tree in tokens.clone() {
        let found = match &tree {
            // One dot stands before a field, two before the end of a range.
            TokenTree::Ident(ident) => dots != 1 && ident.unraw() == name,
            TokenTree::Group(group) => search(&group.stream(), name),
            TokenTree::Literal(literal) => in_format_text(&literal.to_string(), name),
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

fn in_format_text(literal: &str, name: &str) -> bool {
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
