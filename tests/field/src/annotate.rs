//! Puts the attribute and an independent counter into a source file, by syntax.
//!
//! Takes the text of a file; gives the text with `#[::monitored::monitor]` before every free function, impl block and
//! trait, and a counter as the first statement of each of their functions. Both are inserted within their lines, so
//! every line keeps its number. Left as they are: `const` functions, tests, what lies in macros, and functions of
//! `extern` blocks.

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Attribute, Block, ImplItem, ImplItemFn, ItemFn, ItemImpl, ItemMod, ItemTrait, Signature, TraitItem,
    TraitItemFn,
};

/// An annotated file.
#[derive(Debug)]
pub(crate) struct Annotated {
    pub(crate) text: String,
    /// The number of functions that the attribute reaches.
    pub(crate) functions: usize,
}

/// Annotates the text of a file. Returns `None` if it is not Rust that `syn` reads.
pub(crate) fn annotate(text: &str) -> Option<Annotated> {
    let file = syn::parse_file(text).ok()?;
    let mut found = Edits::default();
    found.visit_file(&file);
    let lines: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let shebang_and_mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let offset = |place: LineColumn| {
        let start = lines[place.line - 1] + if place.line == 1 { shebang_and_mark } else { 0 };
        let line = &text[start..];
        start + line.char_indices().nth(place.column).map_or(line.len(), |(at, _)| at)
    };
    let mut inserts: Vec<(usize, String)> =
        found.inserts.into_iter().map(|(place, insert)| (offset(place), insert)).collect();
    inserts.sort_by_key(|(at, _)| *at);
    let mut annotated = String::with_capacity(text.len() + inserts.len() * 80);
    let mut from = 0;
    for (at, insert) in &inserts {
        annotated.push_str(&text[from..*at]);
        annotated.push_str(insert);
        from = *at;
    }
    annotated.push_str(&text[from..]);
    Some(Annotated { text: annotated, functions: found.functions })
}

#[derive(Default)]
struct Edits {
    inserts: Vec<(LineColumn, String)>,
    functions: usize,
}

const ATTRIBUTE: &str = "#[::monitored::monitor] ";

impl Edits {
    fn attribute(&mut self, before: Span) {
        self.inserts.push((before.start(), ATTRIBUTE.to_owned()));
    }

    /// Puts a counter at the start of a function's body.
    fn count(&mut self, signature: &Signature, block: &Block) {
        self.functions += 1;
        let line = signature.ident.span().start().line;
        let counter = format!(
            " {{ static FIELD: ::field_count::Counter = ::field_count::Counter::new(file!(), {line}); FIELD.hit(); }}"
        );
        self.inserts.push((block.brace_token.span.open().end(), counter));
    }
}

/// Returns true for an item that is compiled for tests alone, or is a test.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let last = path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        let is_cfg = last == "cfg"
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test");
        is_cfg || last == "test" || last == "bench"
    })
}

/// Returns true for a function whose body begins with an inner attribute, behind which nothing can be inserted.
fn has_inner_attributes(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| matches!(attribute.style, syn::AttrStyle::Inner(_)))
}

/// Returns true if the attribute monitors a function with this signature.
fn is_monitored(signature: &Signature) -> bool {
    signature.constness.is_none()
}

impl<'ast> Visit<'ast> for Edits {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if is_for_tests(&function.attrs) {
            return;
        }
        if is_monitored(&function.sig) && !has_inner_attributes(&function.attrs) {
            let start = match &function.vis {
                syn::Visibility::Inherited => function.sig.span(),
                visibility => visibility.span(),
            };
            self.attribute(start);
            self.count(&function.sig, &function.block);
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &'ast ItemImpl) {
        if is_for_tests(&block.attrs) {
            return;
        }
        let functions = block.items.iter().filter_map(|item| match item {
            ImplItem::Fn(ImplItemFn { sig, block, attrs, .. }) => Some((sig, block, attrs)),
            _ => None,
        });
        let monitored: Vec<_> = functions
            .filter(|(sig, _, attrs)| {
                is_monitored(sig) && !is_for_tests(attrs) && !has_inner_attributes(attrs)
            })
            .collect();
        if !monitored.is_empty() {
            let start = block.modifiers.defaultness.as_ref().map(syn::spanned::Spanned::span);
            let start =
                start.or_else(|| block.unsafety.map(|token| token.span)).unwrap_or(block.impl_token.span);
            self.attribute(start);
            for (sig, block, _) in monitored {
                self.count(sig, block);
            }
        }
        visit::visit_item_impl(self, block);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        if is_for_tests(&item.attrs) {
            return;
        }
        let functions = item.items.iter().filter_map(|item| match item {
            TraitItem::Fn(TraitItemFn { sig, default: Some(block), attrs, .. }) => Some((sig, block, attrs)),
            _ => None,
        });
        let monitored: Vec<_> = functions
            .filter(|(sig, _, attrs)| {
                is_monitored(sig) && !is_for_tests(attrs) && !has_inner_attributes(attrs)
            })
            .collect();
        if !monitored.is_empty() {
            let start = match &item.vis {
                syn::Visibility::Inherited => None,
                visibility => Some(visibility.span()),
            };
            let start = start.or_else(|| item.unsafety.map(|token| token.span));
            self.attribute(start.unwrap_or(item.trait_token.span));
            for (sig, block, _) in monitored {
                self.count(sig, block);
            }
        }
        visit::visit_item_trait(self, item);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn attributes_and_counters_are_inserted_within_their_lines() {
        let text = "/// A doc.\n#[inline]\npub(crate) fn one(\n    a: u8,\n) -> u8 { a }\n\nimpl S {\n    const fn no() {}\n    fn two() {}\n}\n#[test]\nfn three() {}\n";
        let annotated = annotate(text).unwrap();
        assert_eq!(annotated.functions, 2);
        assert_eq!(annotated.text.lines().count(), text.lines().count());
        let lines: Vec<&str> = annotated.text.lines().collect();
        assert_eq!(lines[2], "#[::monitored::monitor] pub(crate) fn one(");
        assert!(lines[4].starts_with(") -> u8 { { static FIELD: ::field_count::Counter"), "{}", lines[4]);
        assert!(lines[4].contains("file!(), 3)") && lines[4].ends_with(" a }"), "{}", lines[4]);
        assert_eq!(lines[6], "#[::monitored::monitor] impl S {");
        assert_eq!([lines[7], lines[11]], ["    const fn no() {}", "fn three() {}"]);
        assert!(lines[8].contains("file!(), 9)"), "{}", lines[8]);
    }
}
