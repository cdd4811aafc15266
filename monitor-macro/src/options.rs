//! The options of `#[monitor(…)]`, parsed by one table.
//!
//! Takes the tokens inside the parentheses. Returns [`Options`], or one error that holds every mistake at its
//! own span. The options also merge with the options of the surrounding block and turn back into tokens. What
//! an option means for the item is not known here: `validate` and `expand` decide it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Error, Expr, LitStr, Path, Result, Token, parenthesized};

use crate::mentions::mentions;

/// The options that the user wrote.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option without a value")]
pub(crate) struct Options {
    pub(crate) off: bool,
    pub(crate) name: Option<Expr>,
    pub(crate) group: Option<Expr>,
    pub(crate) sample: Option<Expr>,
    pub(crate) slow: Option<Expr>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) skip_all: bool,
    pub(crate) redact: Vec<Ident>,
    pub(crate) no_result: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) error_if: Option<Expr>,
    /// The path of the crate `monitored`.
    pub(crate) krate: Option<Path>,
    /// True if the attribute already follows all other attributes of its function. Only the expansion sets this field
    /// and the next two.
    pub(crate) is_last: bool,
    /// The function is in an `impl` block of a trait.
    pub(crate) is_trait_impl: bool,
    /// The function is in an `impl` block with type parameters or lifetimes.
    pub(crate) is_generic_impl: bool,
}

/// One `key = expr` of `fields(…)`.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) key: LitStr,
    pub(crate) value: Expr,
}

impl Field {
    /// Returns whether the expression mentions the name.
    pub(crate) fn mentions(&self, name: &Ident) -> bool {
        mentions(&self.value.to_token_stream(), name)
    }
}

/// A row of the table: the name of an option, the text that shows its use, and its parser.
struct Spec {
    name: &'static str,
    usage: &'static str,
    parse: fn(&mut Options, ParseStream<'_>) -> Result<()>,
}

const TABLE: &[Spec] = &[
    Spec {
        name: "name",
        usage: "name = \"shop::pay\"",
        parse: |options, input| parse_value(input).map(|value| options.name = Some(value)),
    },
    Spec {
        name: "skip",
        usage: "skip(argument, …)",
        parse: |options, input| parse_names(input).map(|names| options.skip = names),
    },
    Spec {
        name: "skip_all",
        usage: "skip_all",
        parse: |options, _| {
            options.skip_all = true;
            Ok(())
        },
    },
    Spec {
        name: "redact",
        usage: "redact(argument, …)",
        parse: |options, input| parse_names(input).map(|names| options.redact = names),
    },
    Spec {
        name: "no_result",
        usage: "no_result",
        parse: |options, _| {
            options.no_result = true;
            Ok(())
        },
    },
    Spec {
        name: "fields",
        usage: "fields(key = expression, …)",
        parse: |options, input| parse_fields(input).map(|fields| options.fields = fields),
    },
    Spec {
        name: "sample",
        usage: "sample = 0.01",
        parse: |options, input| parse_value(input).map(|value| options.sample = Some(value)),
    },
    Spec {
        name: "slow",
        usage: "slow = \"10ms\"",
        parse: |options, input| parse_value(input).map(|value| options.slow = Some(value)),
    },
    Spec {
        name: "error_if",
        usage: "error_if = path_or_closure",
        parse: |options, input| parse_value(input).map(|value| options.error_if = Some(value)),
    },
    Spec {
        name: "group",
        usage: "group = \"payments\"",
        parse: |options, input| parse_value(input).map(|value| options.group = Some(value)),
    },
    Spec {
        name: "off",
        usage: "off",
        parse: |options, _| {
            options.off = true;
            Ok(())
        },
    },
    Spec {
        name: "crate",
        usage: "crate = path::to::monitored",
        parse: |options, input| {
            input.parse::<Token![=]>()?;
            options.krate = Some(Path::parse_mod_style(input)?);
            Ok(())
        },
    },
];

/// A mark that the expansion hands on as an option.
type Mark = (&'static str, fn(&mut Options) -> &mut bool);

/// The marks. They are missing in the table because error messages list the table to users.
const MARKS: [Mark; 3] = [
    ("__is_last", |options| &mut options.is_last),
    ("__is_trait_impl", |options| &mut options.is_trait_impl),
    ("__is_generic_impl", |options| &mut options.is_generic_impl),
];

impl Options {
    /// Parses all options.
    ///
    /// # Errors
    ///
    /// One error holds all mistakes.
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        parse_options.parse2(tokens)
    }

    /// Returns the path of the crate `monitored`.
    pub(crate) fn krate(&self) -> TokenStream {
        self.krate.as_ref().map_or_else(|| quote!(::monitored), ToTokens::to_token_stream)
    }

    /// Merges these options with `base`, the options of the surrounding block. Lists are joined, so that an
    /// argument redacted for the whole block stays redacted. In all other options `self` wins.
    pub(crate) fn overriding(mut self, base: &Self) -> Self {
        let add = |own: &mut Vec<Ident>, base: &[Ident]| {
            for name in base {
                if !own.contains(name) {
                    own.push(name.clone());
                }
            }
        };
        add(&mut self.skip, &base.skip);
        add(&mut self.redact, &base.redact);
        for field in &base.fields {
            if self.fields.iter().all(|own| own.key.value() != field.key.value()) {
                self.fields.push(field.clone());
            }
        }
        Self {
            off: self.off || base.off,
            name: self.name.or_else(|| base.name.clone()),
            group: self.group.or_else(|| base.group.clone()),
            sample: self.sample.or_else(|| base.sample.clone()),
            slow: self.slow.or_else(|| base.slow.clone()),
            skip_all: self.skip_all || base.skip_all,
            no_result: self.no_result || base.no_result,
            error_if: self.error_if.or_else(|| base.error_if.clone()),
            krate: self.krate.or_else(|| base.krate.clone()),
            is_last: self.is_last || base.is_last,
            is_trait_impl: self.is_trait_impl || base.is_trait_impl,
            is_generic_impl: self.is_generic_impl || base.is_generic_impl,
            ..self
        }
    }
}

/// Writes the options as a user would, for the attribute that a function inherits.
impl ToTokens for Options {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, group, sample, slow, skip, redact, fields, error_if, krate, .. } = self;
        let mut push = |option: TokenStream| tokens.extend(quote!(#option,));
        if let Some(path) = krate {
            push(quote!(crate = #path));
        }
        for (key, value) in [("name", name), ("group", group), ("sample", sample), ("slow", slow)] {
            if let Some(value) = value {
                let key = Ident::new(key, Span::call_site());
                push(quote!(#key = #value));
            }
        }
        if let Some(test) = error_if {
            push(quote!(error_if = #test));
        }
        for (key, names) in [("skip", skip), ("redact", redact)] {
            if !names.is_empty() {
                let key = Ident::new(key, Span::call_site());
                push(quote!(#key(#(#names),*)));
            }
        }
        if !fields.is_empty() {
            let fields = fields.iter().map(|Field { key, value }| quote!(#key = #value));
            push(quote!(fields(#(#fields),*)));
        }
        let mut marked = self.clone();
        let marks = MARKS.map(|(key, mark)| (key, *mark(&mut marked)));
        let flags = [("skip_all", self.skip_all), ("no_result", self.no_result), ("off", self.off)];
        for (key, is_set) in flags.into_iter().chain(marks) {
            if is_set {
                let key = Ident::new(key, Span::call_site());
                push(quote!(#key));
            }
        }
    }
}

fn parse_options(input: ParseStream<'_>) -> Result<Options> {
    let mut options = Options::default();
    let mut seen: Vec<&'static str> = Vec::new();
    let mut errors: Option<Error> = None;
    while !input.is_empty() {
        if let Err(error) = parse_option(&mut options, &mut seen, input) {
            add_error(&mut errors, error);
            skip_to_comma(input);
        }
        if input.is_empty() {
            break;
        }
        if let Err(error) = input.parse::<Token![,]>() {
            add_error(&mut errors, Error::new(error.span(), "expected `,` between options"));
            skip_to_comma(input);
            let _: Result<Token![,]> = input.parse();
        }
    }
    errors.map_or(Ok(options), Err)
}

fn add_error(errors: &mut Option<Error>, error: Error) {
    match errors {
        Some(errors) => errors.combine(error),
        None => *errors = Some(error),
    }
}

fn parse_option(options: &mut Options, seen: &mut Vec<&'static str>, input: ParseStream<'_>) -> Result<()> {
    let Ok(name) = input.call(Ident::parse_any) else {
        return Err(input.error(format!("expected an option; {}", allowed_options())));
    };
    let text = name.unraw().to_string();
    if let Some((_, mark)) = MARKS.iter().find(|(key, _)| text == *key) {
        *mark(options) = true;
        return Ok(());
    }
    let Some(spec) = TABLE.iter().find(|spec| spec.name == text) else {
        return Err(Error::new(name.span(), format!("unknown option `{text}`; {}", allowed_options())));
    };
    if seen.contains(&spec.name) {
        return Err(Error::new(name.span(), format!("option `{text}` is given twice")));
    }
    seen.push(spec.name);
    let is_bare = input.is_empty();
    (spec.parse)(options, input)
        // After the last token there is none to point at.
        .map_err(|error| if is_bare { Error::new(name.span(), error.to_string()) } else { error })
        .map_err(|error| Error::new(error.span(), format!("{error}; write `{}`", spec.usage)))?;
    if input.is_empty() || input.peek(Token![,]) {
        Ok(())
    } else {
        Err(input
            .error(format!("expected `,` or the end of the options after `{text}`; write `{}`", spec.usage)))
    }
}

fn allowed_options() -> String {
    let usages: Vec<String> = TABLE.iter().map(|spec| format!("`{}`", spec.usage)).collect();
    format!("allowed are {}", usages.join(", "))
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _: Result<proc_macro2::TokenTree> = input.parse();
    }
}

fn parse_value(input: ParseStream<'_>) -> Result<Expr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn parse_names(input: ParseStream<'_>) -> Result<Vec<Ident>> {
    let content;
    parenthesized!(content in input);
    let name = |input: ParseStream<'_>| {
        if input.peek(Token![_]) {
            return Err(input.error("expected the name of an argument"));
        }
        input.call(Ident::parse_any)
    };
    let names = content.parse_terminated(name, Token![,])?;
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|earlier| earlier.unraw() == name.unraw()) {
            return Err(Error::new(name.span(), format!("`{name}` is given twice")));
        }
    }
    Ok(names.into_iter().collect())
}

fn parse_fields(input: ParseStream<'_>) -> Result<Vec<Field>> {
    let content;
    parenthesized!(content in input);
    let fields: Vec<Field> = content.parse_terminated(Field::parse, Token![,])?.into_iter().collect();
    for (index, field) in fields.iter().enumerate() {
        if fields[..index].iter().any(|earlier| earlier.key.value() == field.key.value()) {
            let text = format!("field `{}` is given twice", field.key.value());
            return Err(Error::new(field.key.span(), text));
        }
    }
    Ok(fields)
}

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = if input.peek(LitStr) {
            input.parse()?
        } else {
            let key = input.call(Ident::parse_any)?;
            LitStr::new(&key.unraw().to_string(), key.span())
        };
        Ok(Self { key, value: parse_value(input)? })
    }
}
