//! Turns a checked function into a monitored one.
//!
//! Takes the options and the function. Returns the function with a call site (`site`), statements that
//! capture values and end the call (`capture`), and the body between them (`body`). The return type decides
//! how the body is wrapped: a function without a value by `scope`, with a value by `value`, and one that
//! returns a future, as an `async fn` does, by `future`. An expansion contains only absolute paths into
//! `__private`, only names that begin with `__monitor_`, no `unsafe` and no added bound. It raises no lint,
//! and silences only those that clippy does not apply to an `async fn`. It calls no method by a name that a
//! trait of the user may have for all types. It returns its value by `return`, because clippy's `implicit_return` would
//! report a tail expression. The size of an expansion depends on the arguments and the options, never on
//! types.

mod site;
mod lint_levels;
mod capture;
mod crate_key;
mod body;
mod early_return;
mod scope;
mod value;
mod future;
mod boxings;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote};
use syn::Signature;

use self::capture::is_cfg;
use self::crate_key::crate_key;
use self::lint_levels::{on_second_binding, sets_lint_level};
use crate::function::{Argument, Function};
use crate::mentions::mentions;
use crate::options::Options;
use crate::returns::{self, Returns};

/// The methods of standard traits by whose names clippy's `should_implement_trait` goes.
const STANDARD_METHODS: [&str; 30] = [
    "add",
    "as_mut",
    "as_ref",
    "bitand",
    "bitor",
    "bitxor",
    "borrow",
    "borrow_mut",
    "clone",
    "cmp",
    "default",
    "deref",
    "deref_mut",
    "div",
    "drop",
    "eq",
    "from_iter",
    "from_str",
    "hash",
    "index",
    "index_mut",
    "into_iter",
    "mul",
    "neg",
    "next",
    "not",
    "rem",
    "shl",
    "shr",
    "sub",
];

/// The facts that all parts of an expansion use.
pub(crate) struct Expansion<'a> {
    options: &'a Options,
    function: &'a Function,
    /// The absolute path of `__private`.
    private: TokenStream,
    /// The local variable that holds the call.
    call: Ident,
    returns: Returns,
}

/// A function's new signature and the inside of its new body.
struct Wrapped {
    signature: Signature,
    body: TokenStream,
}

/// Returns the monitored function.
pub(crate) fn expand(options: &Options, function: &Function) -> TokenStream {
    let krate = options.krate();
    let returns = match returns::classify(&function.signature.output) {
        Returns::Future(ty) if !future::can_be_instrumented(function, &ty) => {
            Returns::Value(Box::new(ty.nameable))
        }
        Returns::Value(_)
            if options.error_if.is_none() && returns::is_tuple_with_closure(&function.signature.output) =>
        {
            Returns::Closure
        }
        returns => returns,
    };
    let expansion = Expansion {
        options,
        function,
        private: quote!(#krate::__private),
        call: format_ident!("__monitor_call"),
        returns,
    };
    let wrapped = expansion.wrapped();
    let Function { attributes, qualifiers, inner_attributes, .. } = function;
    let Wrapped { signature, body } = wrapped;
    let body = function.braced(quote!(#(#inner_attributes)* #body));
    let allowed = expansion.allowed_for_async_fn();
    quote!(#allowed #(#attributes)* #qualifiers #signature #body)
}

impl Expansion<'_> {
    fn wrapped(&self) -> Wrapped {
        let signature = &self.function.signature;
        if signature.asyncness.is_some() {
            return future::wrap_async_fn(self);
        }
        match &self.returns {
            Returns::Never | Returns::Closure => scope::wrap(self),
            Returns::Unit if self.options.error_if.is_none() => scope::wrap(self),
            Returns::Unit => value::wrap(self, &syn::parse_quote!(())),
            Returns::Value(ty) => value::wrap(self, ty),
            Returns::Future(ty) => future::wrap_fn(self, ty),
        }
    }

    /// Returns whether the call ends when a future completes. The values of such a call are captured by
    /// closures.
    fn is_async_call(&self) -> bool {
        self.function.signature.asyncness.is_some() || matches!(self.returns, Returns::Future(_))
    }

    /// Returns the attribute for clippy's lints on plain functions that it does not apply to an `async fn`: that a
    /// method has the name of a standard trait's, and that a `#[must_use]` function returns a future, which is
    /// `#[must_use]` as well.
    fn allowed_for_async_fn(&self) -> Option<TokenStream> {
        let Function { attributes, signature, .. } = self.function;
        signature.asyncness?;
        let must_use = Ident::new("must_use", Span::call_site());
        let has_must_use =
            attributes.iter().any(|attribute| mentions(&attribute.meta.to_token_stream(), &must_use));
        let is_named_as_standard = STANDARD_METHODS.iter().any(|name| signature.ident == name);
        let lints = [
            has_must_use.then(|| quote!(clippy::double_must_use)),
            is_named_as_standard.then(|| quote!(clippy::should_implement_trait)),
        ];
        let lints: Vec<TokenStream> = lints.into_iter().flatten().collect();
        (!lints.is_empty()).then(|| quote!(#[allow(#(#lints),*)]))
    }

    /// Returns the path of the method that enters a call of this function, as the `guard` of the runtime. After `enter`
    /// the time of the call runs at once. After `prepare` it runs as soon as the arguments and fields are captured.
    fn entry(&self, guard: &str) -> TokenStream {
        let (private, key, guard) = (&self.private, crate_key(), format_ident!("{guard}"));
        let method = if self.captures_on_entry() { format_ident!("prepare") } else { format_ident!("enter") };
        quote!(#private::#guard::<#key>::#method)
    }

    /// Returns the attribute for the statement that holds the closure or the async block.
    fn allowed_assignments(&self) -> Option<TokenStream> {
        let is_local = |argument: &Argument| self.is_local(argument);
        self.function.assigns_to_captured(is_local).then(|| quote!(#[allow(unused_assignments)]))
    }

    /// Returns statements that make rustc report `unused_variables` for arguments that only the expansion
    /// uses. Each statement binds the name of an argument once more, at the user's span, where nothing can
    /// refer to it.
    fn unused_bindings(&self, uses: impl Fn(&Argument, &Ident) -> bool) -> TokenStream {
        let mut options = TokenStream::new();
        self.options.to_tokens(&mut options);
        let mut statements = TokenStream::new();
        for argument in &self.function.arguments {
            let attributes = argument.attributes.iter();
            let attributes = attributes.filter(|attribute| sets_lint_level(attribute) || is_cfg(attribute));
            let attributes = attributes.flat_map(on_second_binding);
            let attributes = quote!(#(#attributes)*);
            for name in &argument.bindings {
                let is_used = name.to_string().starts_with('_')
                    || mentions(&self.function.body, name)
                    || mentions(&options, name);
                if uses(argument, name) && !is_used {
                    statements.extend(quote!(#attributes let #name = ();));
                }
            }
        }
        statements
    }
}

#[cfg(test)]
mod tests {
    use proc_macro2::{TokenStream, TokenTree};

    use super::expand;
    use crate::function::Function;
    use crate::items;
    use crate::options::Options;

    fn expanded(options: &str, function: &str) -> TokenStream {
        let item = items::cut_single(function.parse().expect("tokens")).expect("an item");
        let function = Function::parse(&item, item.body().expect("a body")).expect("a function");
        expand(&Options::parse(options.parse().expect("tokens")).expect("options"), &function)
    }

    /// Counts tokens at any depth.
    fn count(tokens: TokenStream) -> usize {
        let trees = tokens.into_iter().map(|tree| match tree {
            TokenTree::Group(group) => 1 + count(group.stream()),
            _ => 1,
        });
        trees.sum()
    }

    /// Counts the tokens that the attribute adds to a function.
    fn added(options: &str, function: &str) -> usize {
        count(expanded(options, function)) - count(function.parse().expect("tokens"))
    }

    #[test]
    fn the_documentation_shows_the_true_expansion() {
        let documentation = include_str!("../monitor.md");
        let blocks: Vec<&str> =
            documentation.split("```text\n").skip(1).filter_map(|block| block.split("```").next()).collect();
        assert_eq!(blocks.len(), 4);
        for pair in blocks.chunks(2) {
            let (attribute, function) = pair[0].split_once('\n').expect("an attribute on a line of its own");
            let options = attribute.trim_start_matches("#[monitor(").trim_end_matches(")]");
            let key = format!("<{}>", super::crate_key());
            let shown = pair[1]
                .replace("P::", "::monitored::__private::")
                .replace("2u32", "0u32")
                .replace("<KEY>", &key);
            let text = |tokens: TokenStream| tokens.to_string().replace(char::is_whitespace, "");
            assert_eq!(text(expanded(options, function)), text(shown.parse().expect("tokens")));
        }
    }

    #[test]
    fn m95_an_expansion_has_a_size_of_its_own_whatever_the_types_and_the_body() {
        for (small, large) in [
            (
                "fn f(a: A) -> R { a }",
                "fn f(a: HashMap<Vec<[u8; 4]>, &'static dyn Fn(A) -> B>) -> R { let b = g(a)?; h(b) }",
            ),
            (
                "async fn f(a: A) { a; }",
                "async fn f<T: Into<A>, const N: usize>(a: [T; N]) { g(a).await; h(); }",
            ),
            (
                "fn f(a: A) { a; }",
                "fn f<'a>(a: &'a (dyn Fn() -> A + 'a)) where A: Copy { for b in a() { g(b); } }",
            ),
        ] {
            assert_eq!(added("", small), added("", large));
        }
        // Raise these bounds only with a reason. Fifteen tokens declare the slot of an entered call: the slot
        // is apart from the call, so that the few words of every call stay in registers. Five tokens name the key of the
        // crate.
        assert!(added("", "fn f() {}") <= 140, "{}", added("", "fn f() {}"));
        let value = added("", "fn f() -> R { r }");
        // Two writers are handed out and given back. This takes more tokens than closures do, but closures
        // cost the compiler twice as much. Each of the four methods takes 12 tokens more than with method syntax, which
        // would find the methods of a user's blanket trait first.
        assert!(value <= 394, "{value}");
        let future = added("", "async fn f() -> R { r }");
        assert!(future <= 350, "{future}");
        let argument = added("", "fn f(a: A) -> R { r }") - added("", "fn f() -> R { r }");
        let second = added("", "fn f(a: A, b: A) -> R { r }") - added("", "fn f(a: A) -> R { r }");
        assert!(argument <= 114 && second <= 40, "{argument} {second}");
    }

    #[test]
    fn a_function_that_cannot_have_a_closure_has_none() {
        for function in [
            "#[track_caller] fn f(a: A) -> Result<R, E> { let b = a?; if b { return Ok(c); } Ok(d(e?)) }",
            "unsafe extern \"C\" fn f(a: A, mut b: ...) -> Option<R> { Some(b.arg()?) }",
            "fn f(#[cfg(test)] a: A) -> R { a }",
        ] {
            let expansion = expanded("skip_all", function).to_string();
            assert!(expansion.contains("'__monitor_body") && !expansion.contains("run1"), "{expansion}");
            assert!(!expansion.contains("break '__monitor_body ;"), "{expansion}");
        }
    }
}
