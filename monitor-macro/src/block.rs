//! Expands `#[monitor]` on an `impl` block, a trait or an inline module.
//!
//! Takes the options and the block. Returns the block with an attribute on each function inside. Functions
//! are not expanded here: macros on the block, such as `#[async_trait]`, run before the attributes of its
//! functions and need not be known by name. Functions that cannot be monitored (a `const fn`, a function
//! without a body) stay as they are.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::{Error, Expr, ExprLit, Lit, LitStr, Result};

use crate::attributes;
use crate::function::parse_function_head;
use crate::items::{End, Item, Kind, cut, split_inner_attributes};
use crate::mentions::mentions;
use crate::options::Options;
use crate::validate::{combine_errors, has_argument};

/// Returns the block with the attribute on each function and block inside.
pub(crate) fn expand(options: &Options, block: &Item, body: &Group) -> Result<TokenStream> {
    let prefix = name_prefix(options)?;
    let (inner_attributes, items) = split_inner_attributes(body.stream())?;
    let Some(mut items) = cut(items) else {
        // The tokens are not items, and rustc reports the mistake.
        return Ok(block.to_token_stream());
    };
    let names = options.skip.iter().chain(&options.redact);
    combine_errors(names.map(|name| check_argument(&items, name)))?;
    let mut marked = options.clone();
    if block.kind == Kind::Impl {
        (marked.is_trait_impl, marked.is_generic_impl) =
            (is_trait_impl(&block.head), is_generic_impl(&block.head));
    }
    for item in &mut items {
        inherit_options(&marked, prefix.as_ref(), item);
    }
    let items = items.iter().map(|item| match item.body() {
        Some(body) if attributes::copies_attributes(&block.attributes) => expand_at_once(item, body),
        _ => Ok(item.to_token_stream()),
    });
    let items: Vec<TokenStream> = items.collect::<Result<_>>()?;
    let mut inside = Group::new(Delimiter::Brace, quote!(#(#inner_attributes)* #(#items)*));
    inside.set_span(body.span());
    let Item { attributes, head, .. } = block;
    Ok(quote!(#(#attributes)* #head #inside))
}

/// Returns a function with its attribute expanded, for a macro on the block that would copy the attribute to items which it
/// makes. An `async fn` stays as it was written, because the macro needs to see that it is one.
fn expand_at_once(item: &Item, body: &Group) -> Result<TokenStream> {
    let mut plain = item.clone();
    attributes::take_monitor_attributes(&mut plain.attributes)?;
    if item.kind != Kind::Function || plain.attributes.len() == item.attributes.len() || is_async(item) {
        return Ok(plain.to_token_stream());
    }
    Ok(crate::expand_function(&Options::default(), item, body)?.unwrap_or_else(|| plain.to_token_stream()))
}

fn is_async(item: &Item) -> bool {
    parse_function_head(&item.head).is_ok_and(|(_, signature)| signature.asyncness.is_some())
}

/// Returns whether the head of an `impl` block names a trait.
fn is_trait_impl(head: &TokenStream) -> bool {
    let mut angles = 0_usize;
    let mut after_minus = false;
    for tree in head.clone() {
        match &tree {
            TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' && !after_minus => {
                angles = angles.saturating_sub(1);
            }
            TokenTree::Ident(word) if angles == 0 && word == "where" => return false,
            TokenTree::Ident(word) if angles == 0 && word == "for" => return true,
            _ => {}
        }
        after_minus = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '-');
    }
    false
}

/// Returns whether the head of an `impl` block has type parameters or lifetimes.
fn is_generic_impl(head: &TokenStream) -> bool {
    let mut trees =
        head.clone().into_iter().skip_while(|tree| !matches!(tree, TokenTree::Ident(word) if word == "impl"));
    trees.next();
    let declares = matches!(trees.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '<');
    declares || mentions(head, &Ident::new("_", proc_macro2::Span::call_site()))
}

/// Checks that at least one function inside has the argument to skip or redact, because a misspelt name must
/// not show a secret.
fn check_argument(items: &[Item], name: &Ident) -> Result<()> {
    if items.iter().any(|item| binds(item, name)) {
        return Ok(());
    }
    Err(Error::new(name.span(), format!("no function in this block has an argument `{}`", name.unraw())))
}

fn binds(item: &Item, name: &Ident) -> bool {
    match item.kind {
        Kind::Function => {
            let signature = parse_function_head(&item.head);
            signature.map_or(true, |(_, signature)| has_argument(&signature, name))
        }
        Kind::Impl | Kind::Trait | Kind::Module => {
            let inside = item.body().map(Group::stream).and_then(|inside| {
                let (_, items) = split_inner_attributes(inside).ok()?;
                cut(items)
            });
            inside.is_none_or(|items| items.iter().any(|item| binds(item, name)))
        }
        // The macro may define any function.
        Kind::Macro => true,
        Kind::Other => false,
    }
}

/// Returns the option `name`. On a block it is the path of the block, to which each function adds its own
/// name.
fn name_prefix(options: &Options) -> Result<Option<LitStr>> {
    match &options.name {
        None => Ok(None),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(prefix), .. })) => Ok(Some(prefix.clone())),
        Some(other) => Err(Error::new_spanned(
            other,
            "`name` on a block must be a string literal, because it is put before the name of each function",
        )),
    }
}

/// Adds the attribute with the options of the block to an item inside. An item that cannot be monitored stays
/// as it is.
fn inherit_options(options: &Options, prefix: Option<&LitStr>, item: &mut Item) {
    let mut inherited = options.clone();
    if item.kind != Kind::Function {
        (inherited.is_trait_impl, inherited.is_generic_impl) = (false, false);
    }
    let own_name = match item.kind {
        Kind::Function => {
            let Ok((_, signature)) = parse_function_head(&item.head) else {
                // The expansion of the attribute warns that it cannot read the head.
                if item.body().is_some() {
                    let unread = Options { is_last: true, ..Options::default() };
                    let _reported_later = attributes::inherit(&mut item.attributes, &unread);
                }
                return;
            };
            if signature.constness.is_some()
                || matches!(item.end, End::Plain(_))
                || attributes::has_naked(&item.attributes)
            {
                return;
            }
            inherited.is_last = true;
            signature.ident.to_string()
        }
        Kind::Impl | Kind::Trait | Kind::Module if item.body().is_some() => block_name(item),
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

/// Returns the name of a trait or module, or the type of an `impl` block without path and generic arguments.
fn block_name(item: &Item) -> String {
    let mut name = String::new();
    let mut angles = 0_usize;
    for tree in item.head.clone() {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '<' => angles += 1,
            TokenTree::Punct(punct) if punct.as_char() == '>' => angles = angles.saturating_sub(1),
            // The bounds of the trait begin here.
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
