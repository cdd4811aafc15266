//! Cuts tokens into items without parsing the inside of their braces.
//!
//! Takes the tokens of an item, or of all items inside an `impl` block, a trait or a module. Returns for each
//! item its attributes, its head (the tokens before the body) and its body. Bodies stay tokens, so that
//! syntax which syn does not know, or which is wrong, reaches rustc as the user wrote it.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt as _};
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Result};

/// An item, cut at its body.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) kind: Kind,
    /// The tokens between the attributes and the body or the closing `;`.
    pub(crate) head: TokenStream,
    pub(crate) end: End,
}

/// The kinds of items that `#[monitor]` tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    Impl,
    Trait,
    Module,
    /// An invocation of a macro.
    Macro,
    Other,
}

/// The end of an item.
#[derive(Clone)]
pub(crate) enum End {
    /// Braces: the body of a function, or the items of a block.
    Body(Group),
    /// Any other end, such as `;`.
    Plain(TokenStream),
}

impl Item {
    /// Returns the body, if the item has one.
    pub(crate) fn body(&self) -> Option<&Group> {
        match &self.end {
            End::Body(body) => Some(body),
            End::Plain(_) => None,
        }
    }
}

impl ToTokens for Item {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.append_all(&self.attributes);
        self.head.to_tokens(tokens);
        match &self.end {
            End::Body(body) => body.to_tokens(tokens),
            End::Plain(end) => end.to_tokens(tokens),
        }
    }
}

/// Returns the item in `tokens`, or `None` if there is not exactly one.
pub(crate) fn cut_single(tokens: TokenStream) -> Option<Item> {
    let tokens = strip_invisible_group(tokens);
    let mut items = cut(tokens)?;
    if items.len() == 1 { items.pop() } else { None }
}

/// Returns all items in `tokens`, or `None` if the tokens are not items.
pub(crate) fn cut(tokens: TokenStream) -> Option<Vec<Item>> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, after) = cut_first(rest)?;
        items.push(item);
        rest = after;
    }
    Some(items)
}

/// Splits the tokens inside braces into the inner attributes at their start (`#![…]`) and the rest.
pub(crate) fn split_inner_attributes(tokens: TokenStream) -> Result<(Vec<Attribute>, TokenStream)> {
    let split = |input: ParseStream<'_>| -> Result<(Vec<Attribute>, TokenStream)> {
        Ok((Attribute::parse_inner(input)?, input.parse()?))
    };
    split.parse2(tokens)
}

/// Removes the invisible group around a macro fragment such as `$item:item`.
fn strip_invisible_group(tokens: TokenStream) -> TokenStream {
    let mut trees = tokens.clone().into_iter();
    match (trees.next(), trees.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            strip_invisible_group(group.stream())
        }
        _ => tokens,
    }
}

fn cut_first(tokens: &[TokenTree]) -> Option<(Item, &[TokenTree])> {
    let (attributes, tokens) = split_attributes(tokens)?;
    let (kind, shape) = classify(tokens)?;
    let end = match shape {
        Shape::Semicolon => tokens.iter().position(|tree| is_punct(tree, ';')).map(Cut::semicolon),
        Shape::Macro => find_macro_end(tokens),
        Shape::Braced => find_braced_end(tokens),
    }?;
    let (head, rest) = tokens.split_at(end.at);
    let (last, rest) = rest.split_at(end.length);
    let end = match last {
        [tree] if end.braced => End::Body(find_braces(tree)?),
        _ => End::Plain(last.iter().cloned().collect()),
    };
    Some((Item { attributes, kind, head: head.iter().cloned().collect(), end }, rest))
}

fn split_attributes(tokens: &[TokenTree]) -> Option<(Vec<Attribute>, &[TokenTree])> {
    let mut length = 0;
    while let [hash, TokenTree::Group(_), ..] = &tokens[length..]
        && is_punct(hash, '#')
    {
        length += 2;
    }
    let (attributes, rest) = tokens.split_at(length);
    let attributes = Attribute::parse_outer.parse2(attributes.iter().cloned().collect()).ok()?;
    Some((attributes, rest))
}

/// The syntax at the end of an item, which says how to find the end.
enum Shape {
    Semicolon,
    Macro,
    Braced,
}

fn classify(tokens: &[TokenTree]) -> Option<(Kind, Shape)> {
    let mut trees = tokens.iter().peekable();
    while let Some(tree) = trees.next() {
        let TokenTree::Ident(word) = tree else {
            // Parentheses belong to `pub(crate)`, a literal to `extern "C"`, another group to a `$vis:vis`
            // fragment.
            match tree {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    return Some((Kind::Other, Shape::Braced));
                }
                TokenTree::Punct(_) => return Some((Kind::Macro, Shape::Macro)),
                _ => continue,
            }
        };
        if trees.peek().is_some_and(|next| is_punct(next, '!')) {
            // A bang after a word means a macro, except in `unsafe impl !Send for T`.
            if word != "impl" {
                let kind = if word == "macro_rules" { Kind::Other } else { Kind::Macro };
                return Some((kind, Shape::Macro));
            }
        }
        let next_is = |words: &[&str], next: Option<&&TokenTree>| match next {
            Some(TokenTree::Ident(next)) => words.iter().any(|word| next == word),
            _ => false,
        };
        return Some(match word.to_string().as_str() {
            "fn" => (Kind::Function, Shape::Braced),
            "impl" => (Kind::Impl, Shape::Braced),
            "trait" => (Kind::Trait, Shape::Braced),
            "mod" => (Kind::Module, Shape::Braced),
            "struct" | "enum" | "union" | "macro" => (Kind::Other, Shape::Braced),
            "use" | "type" | "static" | "let" => (Kind::Other, Shape::Semicolon),
            "const"
                if !next_is(&["fn", "async", "unsafe", "extern", "safe", "trait", "impl"], trees.peek()) =>
            {
                (Kind::Other, Shape::Semicolon)
            }
            "extern" if next_is(&["crate"], trees.peek()) => (Kind::Other, Shape::Semicolon),
            "pub" | "crate" | "default" | "const" | "async" | "unsafe" | "safe" | "extern" | "auto"
            | "gen" => {
                continue;
            }
            _ => (Kind::Macro, Shape::Macro),
        });
    }
    None
}

/// The position of the tokens that end an item.
struct Cut {
    at: usize,
    length: usize,
    braced: bool,
}

impl Cut {
    fn semicolon(at: usize) -> Self {
        Self { at, length: 1, braced: false }
    }
}

fn find_macro_end(tokens: &[TokenTree]) -> Option<Cut> {
    let bang = tokens.iter().position(|tree| is_punct(tree, '!'))?;
    let group = bang + tokens[bang..].iter().position(|tree| matches!(tree, TokenTree::Group(_)))?;
    match tokens.get(group + 1) {
        Some(next) if is_punct(next, ';') => Some(Cut { at: group, length: 2, braced: false }),
        _ => Some(Cut { at: group, length: 1, braced: false }),
    }
}

/// Finds the first braces that are not a const argument (`Matrix<{ N + 1 }>`), or the first `;`.
fn find_braced_end(tokens: &[TokenTree]) -> Option<Cut> {
    let mut angles = 0_usize;
    let mut after_minus = false;
    for (at, tree) in tokens.iter().enumerate() {
        match tree {
            TokenTree::Punct(punct) => {
                match punct.as_char() {
                    '<' => angles += 1,
                    '>' if !after_minus => angles = angles.saturating_sub(1),
                    ';' if angles == 0 => return Some(Cut::semicolon(at)),
                    _ => {}
                }
                after_minus = punct.as_char() == '-';
                continue;
            }
            TokenTree::Group(_) if angles == 0 && find_braces(tree).is_some() => {
                return Some(Cut { at, length: 1, braced: true });
            }
            _ => {}
        }
        after_minus = false;
    }
    None
}

/// Returns the braces that `tree` is. An invisible group around them, such as `$body:block` makes, is
/// removed.
fn find_braces(tree: &TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = tree else { return None };
    match group.delimiter() {
        Delimiter::Brace => Some(group.clone()),
        Delimiter::None => {
            let mut inner = group.stream().into_iter();
            match (inner.next(), inner.next()) {
                (Some(tree), None) => find_braces(&tree),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::{Kind, cut};

    fn kinds(source: &str) -> Vec<(Kind, String)> {
        let items = cut(source.parse().expect("tokens")).expect("items");
        items.iter().map(|item| (item.kind, item.head.to_string())).collect()
    }

    #[test]
    fn every_kind_of_item_is_cut_at_its_end() {
        let source = r#"
            use a::{b, c};
            pub(crate) const N: [u8; { 1 + 1 }] = { [0; 2] };
            static S: fn() -> u8 = || { 1 };
            struct A; struct B(u8) where u8: Copy; struct C<const K: usize = { 3 }> { x: u8 }
            extern "C" { fn f(); }
            extern crate alloc;
            macro_rules! m { () => {} }
            thread_local! { static T: u8 = 1; }
            path::to::mac!(a, b);
            pub const unsafe extern "C" fn g<F: Fn() -> u8>(f: F) -> [(); { 2 }] where F: Fn() -> Q<{ 1 }> { 0 }
            unsafe impl<const K: usize> !Send for C<{ K }> {}
            pub trait Tr: Fn() -> u8 { fn h(); }
            mod inner { fn i() {} }
            mod outer;
        "#;
        let kinds = kinds(source);
        assert_eq!(kinds.len(), 16);
        assert_eq!(kinds.iter().filter(|(kind, _)| *kind == Kind::Other).count(), 9);
        assert!(kinds[9].0 == Kind::Macro && kinds[10].0 == Kind::Macro);
        assert!(kinds[11].0 == Kind::Function && kinds[11].1.ends_with("Q < { 1 } >"), "{}", kinds[11].1);
        assert!(kinds[12].0 == Kind::Impl && kinds[12].1.ends_with("C < { K } >"));
        assert!(kinds[13].0 == Kind::Trait && kinds[14].0 == Kind::Module && kinds[15].0 == Kind::Module);
    }
}
