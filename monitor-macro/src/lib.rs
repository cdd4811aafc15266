//! The attribute `#[monitor]` of the crate `monitored`.
//!
//! Takes the options and the tokens of an item. Returns the monitored item. The steps are `options` (parse
//! the options) and `items` (cut the item), `validate`, then `expand` for a function or `block` for an item
//! with functions inside. On a mistake, `fallback` returns the item unchanged beside the error. If the
//! feature `record` is off, the options are checked all the same and the item is returned token by token.
//! This crate does not know types: it sees tokens alone.

mod options;
mod items;
mod function;
mod trait_objects;
mod raw_words;
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
    match expand_item(options.into(), &item.clone().into()) {
        Ok(Some(expanded)) => expanded.into(),
        Ok(None) => item,
        Err(error) => fallback::keep_item(item.into(), &error).into(),
    }
}

/// Returns the expansion, or `None` if the item stays as it is.
fn expand_item(options: TokenStream, tokens: &TokenStream) -> Result<Option<TokenStream>> {
    let options = Options::parse(options)?;
    validate::check_options(&options)?;
    if options.off {
        return Ok(None);
    }
    let item = items::cut_single(tokens.clone()).ok_or_else(|| validate::unsupported_item(tokens))?;
    let expanded = match (item.kind, item.body()) {
        (Kind::Function, Some(body)) => expand_function(&options, &item, body)?,
        (Kind::Impl | Kind::Trait | Kind::Module, Some(body)) => Some(block::expand(&options, &item, body)?),
        (Kind::Function, None) => return Err(validate::missing_body(&item.head)),
        _ => return Err(validate::unsupported_item(&item.head)),
    };
    Ok(expanded.filter(|_| cfg!(feature = "record")))
}

/// Returns the expansion of a function, or `None` if its body does not parse. A head that does not parse is left to
/// rustc, which reports a mistake better. If rustc finds none, a warning says that the function is not monitored.
pub(crate) fn expand_function(options: &Options, item: &Item, body: &Group) -> Result<Option<TokenStream>> {
    let Ok(mut function) = Function::parse(item, body) else {
        return Ok(fallback::warn_unread(item, body));
    };
    let options = attributes::take_monitor_attributes(&mut function.attributes)?.overriding(options);
    if options.off {
        let Item { head, .. } = item;
        let attributes = &function.attributes;
        return Ok(Some(quote!(#(#attributes)* #head #body)));
    }
    validate::check_options(&options)?;
    validate::check_function(&options, &function.signature)?;
    if attributes::has_naked(&function.attributes) {
        return Err(validate::naked_function(&item.head));
    }
    let must_wait = function.signature.asyncness.is_some() && !options.is_last;
    if must_wait && attributes::has_unexpanded_macro(&function.attributes) {
        return Ok(Some(move_attribute_last(options, function.attributes, item)));
    }
    Ok(Some(expand::expand(&options, &function)))
}

/// Returns the function with `#[monitor]` after all `others`. `#[tokio::main]` and similar macros demand an
/// `async fn` and must run first, because the expansion of `#[monitor]` is a plain function.
fn move_attribute_last(mut options: Options, mut others: Vec<Attribute>, item: &Item) -> TokenStream {
    options.is_last = true;
    others.push(attributes::monitor_attribute(&options));
    let (head, body) = (&item.head, item.body());
    quote!(#(#others)* #head #body)
}

#[cfg(test)]
mod tests {
    use super::expand_item;
    use proc_macro2::TokenStream;

    #[test]
    fn a_function_whose_signature_cannot_be_read_says_that_it_is_not_monitored() {
        for function in ["fn a(&u8) { #![allow(unused)] f(1); }", "impl A { fn a(&u8) { f(1); } }"] {
            let item = function.parse().expect("tokens");
            let mut expanded =
                expand_item(TokenStream::new(), &item).ok().flatten().expect("an expansion").to_string();
            if function.starts_with("impl") {
                assert!(expanded.contains("monitor"), "{expanded}");
                let inner = "fn a(&u8) { f(1); }".parse().expect("tokens");
                expanded =
                    expand_item(TokenStream::new(), &inner).ok().flatten().expect("an expansion").to_string();
            }
            assert!(expanded.contains("not_monitored ()"), "{expanded}");
        }
    }
}
