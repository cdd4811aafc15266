//! The other attributes of a function: which are our own, which wait to be expanded, and how ours is
//! put behind them.

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Result, Token, parse_quote};

use crate::options::Options;

/// Attributes that rustc itself knows and that change no tokens.
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

/// Tools whose attributes change no tokens.
const TOOLS: &[&str] = &["clippy", "diagnostic", "miri", "rust_analyzer", "rustfmt"];

/// Is there an attribute that is, or may be, a macro yet to be expanded?
pub(crate) fn await_expansion(attributes: &[Attribute]) -> bool {
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

/// Is this `#[monitor]`, by whatever path?
pub(crate) fn is_ours(meta: &Meta) -> bool {
    is_ours_by(meta.path())
}

fn is_ours_by(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "monitor")
}

/// A naked function consists of its assembly alone.
pub(crate) fn is_naked(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("naked"),
        Meta::List(list) => list.path.is_ident("unsafe") && list.tokens.to_string() == "naked",
        Meta::NameValue(_) => false,
    })
}

/// The options in one of our attributes.
pub(crate) fn options(meta: &Meta) -> Result<Options> {
    match meta {
        Meta::Path(_) => Ok(Options::default()),
        Meta::List(list) => Options::parse(list.tokens.clone()),
        Meta::NameValue(value) => {
            Err(syn::Error::new_spanned(value, "write `#[monitor]` or `#[monitor(…)]`"))
        }
    }
}

/// Takes our plain attributes out of `attributes`, and merges their options; those nearer to the
/// function win.
pub(crate) fn take_ours(attributes: &mut Vec<Attribute>) -> Result<Options> {
    let mut merged = Options::default();
    for attribute in attributes.iter().filter(|attribute| is_ours(&attribute.meta)) {
        merged = options(&attribute.meta)?.over(&merged);
    }
    attributes.retain(|attribute| !is_ours(&attribute.meta));
    Ok(merged)
}

/// Our attribute with these options.
pub(crate) fn ours(options: &Options) -> Attribute {
    let krate = options.krate();
    with_options(&parse_quote!(#krate::monitor), options)
}

/// Our attribute under the path that the user wrote: where that path leads nowhere, it does so with
/// recording compiled in and out.
fn with_options(path: &Path, options: &Options) -> Attribute {
    parse_quote!(#[#path(#options)])
}

/// `cfg_attr(predicate, metas…)`.
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
        // Not every predicate reads as an attribute: `true` is one too.
        let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ',');
        let mut trees = list.tokens.clone().into_iter();
        let predicate: TokenStream = trees.by_ref().take_while(|tree| !is_comma(tree)).collect();
        let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(trees.collect()).ok()?;
        Some(Self { predicate, metas: metas.into_iter().collect() })
    }
}

/// Puts `#[monitor]` with the options of the block around it behind a function's other attributes,
/// where it has no say of its own: `off` leaves it out, options of its own win, and under `cfg_attr` they do
/// so where the condition holds.
pub(crate) fn inherit(attributes: &mut Vec<Attribute>, inherited: &Options) -> Result<()> {
    let own_path = attributes.iter().map(Attribute::path).rfind(|path| is_ours_by(path)).cloned();
    let mut others = attributes.clone();
    let own = take_ours(&mut others)?;
    if own.off {
        return Ok(());
    }
    let options = own.over(inherited);
    let mut unless: Vec<TokenStream> = Vec::new();
    for attribute in &mut others {
        let Some(Conditional { predicate, mut metas }) = Conditional::parse(&attribute.meta) else {
            continue;
        };
        if !metas.iter().any(is_ours) {
            continue;
        }
        for meta in metas.iter_mut().filter(|meta| is_ours(meta)) {
            let own = self::options(meta)?;
            if !own.off {
                *meta = with_options(meta.path(), &own.over(&options)).meta;
            }
        }
        *attribute = parse_quote!(#[cfg_attr(#predicate, #(#metas),*)]);
        unless.push(predicate);
    }
    let attribute = match own_path {
        Some(path) => with_options(&path, &options),
        None => ours(&options),
    };
    others.push(if unless.is_empty() {
        attribute
    } else {
        let meta = attribute.meta;
        parse_quote!(#[cfg_attr(not(any(#(#unless),*)), #meta)])
    });
    *attributes = others;
    Ok(())
}
