//! The attributes of a function.
//!
//! Takes attributes. Finds and removes `#[monitor]` among them, says whether one of the others may be a macro
//! that is yet to be expanded, and adds `#[monitor]` after them. `#[monitor]` is known by the last segment of
//! its path. An import under another name is not known here.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Result, Token, parse_quote};

use crate::mentions::mentions;
use crate::options::Options;

/// The attributes that rustc itself knows and that change no tokens.
const INERT: &[&str] = &[
    "allow",
    "automatically_derived",
    "bench",
    "cfg",
    "cold",
    "coverage",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "export_name",
    "forbid",
    "ignore",
    "inline",
    "link_section",
    "monitor",
    "must_use",
    "naked",
    "no_mangle",
    "optimize",
    "repr",
    "should_panic",
    "target_feature",
    "test",
    "track_caller",
    "unsafe",
    "warn",
];

/// The tools whose attributes change no tokens.
const TOOLS: &[&str] = &["clippy", "diagnostic", "miri", "rust_analyzer", "rustfmt"];

/// Returns whether one of `attributes` is, or may be, a macro that is yet to be expanded.
pub(crate) fn has_unexpanded_macro(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| may_be_macro(&attribute.meta))
}

fn may_be_macro(meta: &Meta) -> bool {
    if meta.path().is_ident("cfg_attr") {
        return Conditional::parse(meta).is_none_or(|conditional| conditional.metas.iter().any(may_be_macro));
    }
    let Some(first) = meta.path().segments.first() else { return true };
    let known = if meta.path().segments.len() == 1 { INERT } else { TOOLS };
    known.iter().all(|known| first.ident != known)
}

/// Returns whether `path` is that of `#[monitor]`: the segments before the last one may be any.
fn is_monitor(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "monitor")
}

/// Returns whether `attributes` make a function naked, which means that it consists of its assembly alone.
pub(crate) fn has_naked(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("naked"),
        Meta::List(list) => list.path.is_ident("unsafe") && list.tokens.to_string() == "naked",
        Meta::NameValue(_) => false,
    })
}

/// Returns whether one of `attributes` is a macro that copies the attributes of functions to items of its own: `#[automock]`
/// of mockall, directly or under `cfg_attr`.
pub(crate) fn copies_attributes(attributes: &[Attribute]) -> bool {
    let name = Ident::new("automock", Span::call_site());
    attributes.iter().any(|attribute| mentions(&attribute.meta.to_token_stream(), &name))
}

/// Parses the options of a `#[monitor]` attribute.
fn parse_options(meta: &Meta) -> Result<Options> {
    match meta {
        Meta::Path(_) => Ok(Options::default()),
        Meta::List(list) => Options::parse(list.tokens.clone()),
        Meta::NameValue(value) => {
            Err(syn::Error::new_spanned(value, "write `#[monitor]` or `#[monitor(…)]`"))
        }
    }
}

/// Removes each `#[monitor]` that is not under `cfg_attr` from `attributes` and returns their merged options.
/// The attribute nearest to the function wins.
pub(crate) fn take_monitor_attributes(attributes: &mut Vec<Attribute>) -> Result<Options> {
    let mut merged = Options::default();
    for attribute in attributes.iter().filter(|attribute| is_monitor(attribute.path())) {
        merged = parse_options(&attribute.meta)?.overriding(&merged);
    }
    attributes.retain(|attribute| !is_monitor(attribute.path()));
    Ok(merged)
}

/// Returns `#[monitor]` with these options.
pub(crate) fn monitor_attribute(options: &Options) -> Attribute {
    let krate = options.krate();
    attribute_with_options(&parse_quote!(#krate::monitor), options)
}

/// Returns `#[path(options)]`. The path is the one that the user wrote, so a path that does not exist is an error
/// whether recording is compiled in or out.
fn attribute_with_options(path: &Path, options: &Options) -> Attribute {
    parse_quote!(#[#path(#options)])
}

/// The parts of `cfg_attr(predicate, metas…)`.
struct Conditional {
    predicate: TokenStream,
    metas: Vec<Meta>,
}

impl Conditional {
    fn parse(meta: &Meta) -> Option<Self> {
        let Meta::List(list) = meta else { return None };
        if !list.path.is_ident("cfg_attr") {
            return None;
        }
        // The predicate is kept as tokens because syn does not parse all of them: `true` is one, for example.
        let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',');
        let mut trees = list.tokens.clone().into_iter();
        let predicate: TokenStream = trees.by_ref().take_while(|tree| !is_comma(tree)).collect();
        let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(trees.collect()).ok()?;
        Some(Self { predicate, metas: metas.into_iter().collect() })
    }
}

/// Returns the attribute with each of its meta items replaced, also under `cfg_attr`. Meta items for which `replace`
/// returns `None` stay.
pub(crate) fn replaced(
    attribute: &Attribute,
    replace: &dyn Fn(&Meta) -> Option<Vec<Meta>>,
) -> Vec<Attribute> {
    let metas = replaced_meta(&attribute.meta, replace);
    metas.into_iter().map(|meta| Attribute { meta, ..attribute.clone() }).collect()
}

fn replaced_meta(meta: &Meta, replace: &dyn Fn(&Meta) -> Option<Vec<Meta>>) -> Vec<Meta> {
    match Conditional::parse(meta) {
        Some(Conditional { predicate, metas }) => {
            let metas: Vec<Meta> = metas.iter().flat_map(|meta| replaced_meta(meta, replace)).collect();
            // Rustc reports a `cfg_attr` without attributes as unused.
            let conditional = || Meta::List(parse_quote!(cfg_attr(#predicate, #(#metas),*)));
            if metas.is_empty() { Vec::new() } else { vec![conditional()] }
        }
        None => replace(meta).unwrap_or_else(|| vec![meta.clone()]),
    }
}

/// Adds `#[monitor]` with the options of the surrounding block after the other attributes of a function. The
/// function's own options win, and `off` adds nothing. Own options under `cfg_attr` are merged there, and the
/// added attribute then applies where none of these conditions holds.
pub(crate) fn inherit(attributes: &mut Vec<Attribute>, inherited: &Options) -> Result<()> {
    let own_path = attributes.iter().map(Attribute::path).rfind(|path| is_monitor(path)).cloned();
    let mut others = attributes.clone();
    let own = take_monitor_attributes(&mut others)?;
    if own.off {
        return Ok(());
    }
    let options = own.overriding(inherited);
    let mut predicates: Vec<TokenStream> = Vec::new();
    for attribute in &mut others {
        let Some(Conditional { predicate, mut metas }) = Conditional::parse(&attribute.meta) else {
            continue;
        };
        if !metas.iter().any(|meta| is_monitor(meta.path())) {
            continue;
        }
        for meta in metas.iter_mut().filter(|meta| is_monitor(meta.path())) {
            let own = parse_options(meta)?;
            if !own.off {
                *meta = attribute_with_options(meta.path(), &own.overriding(&options)).meta;
            }
        }
        *attribute = parse_quote!(#[cfg_attr(#predicate, #(#metas),*)]);
        predicates.push(predicate);
    }
    let attribute = match own_path {
        Some(path) => attribute_with_options(&path, &options),
        None => monitor_attribute(&options),
    };
    others.push(if predicates.is_empty() {
        attribute
    } else {
        let meta = attribute.meta;
        parse_quote!(#[cfg_attr(not(any(#(#predicates),*)), #meta)])
    });
    *attributes = others;
    Ok(())
}
