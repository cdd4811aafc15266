//! `#[monitor]` on an `impl` block, a trait or an inline module: gives each function inside an
//! attribute of its own.
//!
//! Nothing is expanded here. Macros between us and the functions, such as `#[async_trait]` on the
//! block, run before the functions' own attributes do, and need not be known by name.
//! What cannot be monitored inside a block (a `const fn`, a function without a body) is left alone.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{Attribute, Error, Expr, ExprLit, Lit, LitStr, Result};

use crate::attributes;
use crate::function;
use crate::items::{End, Item, Kind, cut};
use crate::options::Options;
use crate::validate::{all, names_argument};

/// The block, with the attribute on everything inside.
pub(crate) fn expand(options: &Options, block: &Item, body: &Group) -> Result<TokenStream> {
    let prefix = prefix(options)?;
    let (inner_attributes, items) = split_inner_attributes(body.stream())?;
    let Some(mut items) = cut(items) else {
        // Not items, so rustc says what is wrong with it.
        return Ok(block.to_token_stream());
    };
    let names = options.skip.iter().chain(&options.redact);
    all(names.map(|name| bound_somewhere(&items, name)))?;
    for item in &mut items {
        hand_on(options, prefix.as_ref(), item);
    }
    let mut inside = Group::new(Delimiter::Brace, quote!(#(#inner_attributes)* #(#items)*));
    inside.set_span(body.span());
    let Item { attributes, head, .. } = block;
    Ok(quote!(#(#attributes)* #head #inside))
}

/// An argument to skip or redact must be one of some function inside: a slip of the pen must not show a
/// secret.
fn bound_somewhere(items: &[Item], name: &Ident) -> Result<()> {
    if items.iter().any(|item| binds(item, name)) {
        return Ok(());
    }
    Err(Error::new(name.span(), format!("no function in this block has an argument `{}`", name.unraw())))
}

fn binds(item: &Item, name: &Ident) -> bool {
    match item.kind {
        Kind::Function => {
            let signature = function::head.parse2(item.head.clone());
            signature.map_or(true, |(_, signature)| names_argument(&signature, name))
        }
        Kind::Impl | Kind::Trait | Kind::Module => {
            let inside = item.body().map(Group::stream).and_then(|inside| {
                let (_, items) = split_inner_attributes(inside).ok()?;
                cut(items)
            });
            inside.is_none_or(|items| items.iter().any(|item| binds(item, name)))
        }
        // A macro may define any function.
        Kind::Macro => true,
        Kind::Other => false,
    }
}

/// On a block, `name` stands for the path of the block, to which each function adds its own name.
fn prefix(options: &Options) -> Result<Option<LitStr>> {
    match &options.name {
        None => Ok(None),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(prefix), .. })) => Ok(Some(prefix.clone())),
        Some(other) => Err(Error::new_spanned(
            other,
            "`name` on a block is put before the name of each function, and must be a literal",
        )),
    }
}

fn split_inner_attributes(tokens: TokenStream) -> Result<(Vec<Attribute>, TokenStream)> {
    let split = |input: syn::parse::ParseStream<'_>| -> Result<(Vec<Attribute>, TokenStream)> {
        Ok((Attribute::parse_inner(input)?, input.parse()?))
    };
    split.parse2(tokens)
}

/// Gives an item inside the block what it inherits; what cannot take it is left alone.
fn hand_on(options: &Options, prefix: Option<&LitStr>, item: &mut Item) {
    let mut inherited = options.clone();
    let own_name = match item.kind {
        Kind::Function => {
            let Ok((_, signature)) = function::head.parse2(item.head.clone()) else { return };
            if signature.constness.is_some()
                || matches!(item.end, End::Plain(_))
                || attributes::is_naked(&item.attributes)
            {
                return;
            }
            inherited.placed = true;
            signature.ident.to_string()
        }
        Kind::Impl | Kind::Trait | Kind::Module if item.body().is_some() => name_of_block(item),
        _ => return,
    };
    inherited.skip.retain(|name| binds(item, name));
    inherited.redact.retain(|name| binds(item, name));
    inherited.name = prefix.map(|prefix| {
        let name = format!("{}::{}", prefix.value(), own_name.trim_start_matches("r#"));
        Expr::Lit(ExprLit { attrs: Vec::new(), lit: Lit::Str(LitStr::new(&name, prefix.span())) })
    });
    // A mistake in an attribute inside is reported when that attribute itself is expanded.
    let _reported_later = attributes::inherit(&mut item.attributes, &inherited);
}

/// The type of an `impl` block, without path and generic arguments; the name of a trait or module.
fn name_of_block(item: &Item) -> String {
    let mut name = String::new();
    let mut angles = 0_usize;
    for tree in item.head.clone() {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => angles = angles.saturating_sub(1),
            // The bounds of a trait.
            TokenTree::Punct(punct) if punct.as_char() == ':' && angles == 0 && item.kind == Kind::Trait => {
                break;
            }
            TokenTree::Ident(word) if angles == 0 => match word.to_string().as_str() {
                "where" => break,
                "impl" | "for" | "pub" | "unsafe" | "trait" | "mod" | "auto" | "default" | "dyn" | "mut" => {}
                _ => name = word.to_string(),
            },
            _ => {}
        }
    }
    name
}
