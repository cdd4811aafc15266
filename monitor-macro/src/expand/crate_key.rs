//! The key of the crate that is compiled, for which the functions that a call takes are compiled anew.
//!
//! Takes the names that Cargo tells the compiler. Gives a number that differs between the crates of a program. If two
//! crates have the same key, or if another build tool gives no names, they share these functions, which then work more
//! slowly.

use std::env;
use std::hash::{DefaultHasher, Hasher as _};

use proc_macro2::Literal;

/// The key of the runtime. Debug builds use the functions that are compiled into the runtime, so that a profile can
/// optimise them without the user's crate. A procedural macro is compiled with debug assertions in these builds.
const RUNTIME: u64 = 0;

/// Returns the key of the crate that is compiled.
pub(super) fn crate_key() -> Literal {
    let names = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_CRATE_NAME"].map(env::var_os);
    Literal::u64_unsuffixed(if cfg!(debug_assertions) { RUNTIME } else { key_of(names) })
}

/// Returns the key of a crate with these names, which is not the runtime's.
fn key_of(names: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish().max(RUNTIME + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_have_keys_of_their_own_and_never_the_runtime_s() {
        assert_eq!(key_of("shop"), key_of("shop"));
        assert_ne!(key_of(["shop", "shop_bin"]), key_of(["shop", "shop_lib"]));
        assert!([0, 1, 2].iter().all(|name| key_of(name) != RUNTIME));
    }
}
