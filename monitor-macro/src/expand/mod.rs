//! Turns a checked function into a monitored one.
//!
//! Every expansion is the same three parts: a call site (`site`), what is captured and how the call
//! ends (`capture`), and the body in between, wrapped by what the function returns:
//! nothing (`scope`), a value (`value`), or a future, its own or that of an `async fn` (`future`).
//! What an expansion returns it returns by `return`, since clippy's `implicit_return` does not forgive us.
//! Invariant: only absolute paths into `__private`, only `__monitor_*` names, no `unsafe`, no bound
//! added, no lint raised or silenced, and a size that depends on the arguments alone, never on types.

mod site;
mod capture;
mod body;
mod early_return;
mod scope;
mod value;
mod future;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::Signature;

use self::body::sets_lint_level;
use self::capture::is_cfg;
use crate::function::Function;
use crate::mentions::mentions;
use crate::options::Options;
use crate::returns::{Returns, returns};

/// What all parts of an expansion look at.
pub(crate) struct Expansion<'a> {
    options: &'a Options,
    function: &'a Function,
    /// The path of `__private`.
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

/// The monitored function.
pub(crate) fn expand(options: &Options, function: &Function) -> TokenStream {
    let krate = options.krate();
    let expansion = Expansion {
        options,
        function,
        private: quote!(#krate::__private),
        call: ours("__monitor_call"),
        returns: returns(&function.signature.output),
    };
    let wrapped = expansion.wrapped();
    let Function { attributes, qualifiers, inner_attributes, .. } = function;
    let Wrapped { signature, body } = wrapped;
    let body = function.in_braces(quote!(#(#inner_attributes)* #body));
    quote!(#(#attributes)* #qualifiers #signature #body)
}

impl Expansion<'_> {
    fn wrapped(&self) -> Wrapped {
        let signature = &self.function.signature;
        if signature.asyncness.is_some() {
            return future::of_async_fn(self);
        }
        match &self.returns {
            Returns::Never => scope::wrap(self),
            Returns::Unit if self.options.error_if.is_none() => scope::wrap(self),
            Returns::Unit => value::wrap(self, &syn::parse_quote!(())),
            Returns::Value(ty) => value::wrap(self, ty),
            Returns::Future(ty) => future::of_fn(self, ty),
        }
    }

    /// Starts the time of `call`, after all that is captured; that of a future starts when it is polled.
    fn begin(&self, call: &Ident) -> TokenStream {
        if matches!(self.returns, Returns::Future(_)) { TokenStream::new() } else { quote!(#call.begin();) }
    }

    /// Statements that keep rustc's `unused_variables` alive for arguments that only the expansion
    /// uses: the name once more, at the user's span, where nothing can refer to it.
    fn unused(&self, uses: impl Fn(&Ident) -> bool) -> TokenStream {
        let mut options = TokenStream::new();
        self.options.to_tokens(&mut options);
        let mut statements = TokenStream::new();
        for argument in &self.function.arguments {
            let attributes = argument.attributes.iter();
            let attributes = attributes.filter(|attribute| sets_lint_level(attribute) || is_cfg(attribute));
            let attributes = quote!(#(#attributes)*);
            for name in &argument.bindings {
                let is_used = name.to_string().starts_with('_')
                    || mentions(&self.function.body, name)
                    || mentions(&options, name);
                if uses(name) && !is_used {
                    statements.extend(quote!(#attributes let #name = ();));
                }
            }
        }
        statements
    }
}

/// A name of our own.
fn ours(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}
