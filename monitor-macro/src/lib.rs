//! The attribute `#[monitor]` of the crate `monitored`.
//!
//! The way of a use: `options` (parse) and `items` (cut) → `validate` → `expand`, or `block` for
//! everything with functions inside; on a mistake `fallback` keeps the user's item alive beside the
//! error. Invariant: with the feature `record` off, options are checked all the same, and the item is
//! returned token by token.

mod options;
mod items;
mod function;
mod attributes;
mod validate;
mod mentions;
mod returns;
mod expand;
mod block;
mod fallback;

use proc_macro2::{Group, TokenStream};
use quote::quote;
use syn::{Attribute, Result};

use crate::function::Function;
use crate::items::{Item, Kind};
use crate::options::Options;

#[doc = include_str!("monitor.md")]
#[proc_macro_attribute]
pub fn monitor(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    match attribute(options.into(), &item.clone().into()) {
        Ok(Some(expanded)) => expanded.into(),
        Ok(None) => item,
        Err(error) => fallback::item_and_error(item.into(), &error).into(),
    }
}

/// The expansion, or `None` to leave the item as it is.
fn attribute(options: TokenStream, tokens: &TokenStream) -> Result<Option<TokenStream>> {
    let options = Options::parse(options)?;
    validate::options(&options)?;
    if options.off {
        return Ok(None);
    }
    let item = items::single(tokens.clone()).ok_or_else(|| validate::not_an_item(tokens))?;
    let expanded = match (item.kind, item.body()) {
        (Kind::Function, Some(body)) => function(&options, &item, body)?,
        (Kind::Impl | Kind::Trait | Kind::Module, Some(body)) => Some(block::expand(&options, &item, body)?),
        (Kind::Function, None) => return Err(validate::no_body(&item.head)),
        _ => return Err(validate::not_an_item(&item.head)),
    };
    Ok(expanded.filter(|_| cfg!(feature = "record")))
}

/// `None` for a function that does not read as one: then rustc has more to say about it than we have.
fn function(options: &Options, item: &Item, body: &Group) -> Result<Option<TokenStream>> {
    let Ok(mut function) = Function::parse(item, body) else { return Ok(None) };
    let options = attributes::take_ours(&mut function.attributes)?.over(options);
    if options.off {
        let Item { head, .. } = item;
        let attributes = &function.attributes;
        return Ok(Some(quote!(#(#attributes)* #head #body)));
    }
    validate::options(&options)?;
    validate::function(&options, &function.signature)?;
    if attributes::is_naked(&function.attributes) {
        return Err(validate::naked(&item.head));
    }
    let waits = function.signature.asyncness.is_some() && !options.placed;
    if waits && attributes::await_expansion(&function.attributes) {
        return Ok(Some(behind_others(options, function.attributes, item)));
    }
    Ok(Some(expand::expand(&options, &function)))
}

/// The function with our attribute behind all others: `#[tokio::main]` and its like demand an
/// `async fn`, which ours would have made a plain one.
fn behind_others(mut options: Options, mut others: Vec<Attribute>, item: &Item) -> TokenStream {
    options.placed = true;
    others.push(attributes::ours(&options));
    let (head, body) = (&item.head, item.body());
    quote!(#(#others)* #head #body)
}
