//! The key of the crate that is compiled, for which the functions that a call takes are compiled anew.
//!
//! Takes the names that Cargo tells the compiler. Gives a number that differs between the crates of a program. If two
//! crates have the same key, or if another build tool gives no names, they share these functions, which then work more
//! slowly.

use std::env;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use proc_macro2::Literal;

/// The key of the runtime. Debug builds use the functions that are compiled into the runtime, so that a profile can
/// optimise them without the user's crate. A procedural macro is compiled with debug assertions in these builds.
const RUNTIME: u64 = 0;

/// Returns the key of the crate that is compiled.
pub(super) fn crate_key() -> Literal {
    // A program may have the name of the library in its package. Cargo names a program also as such.
    let names =
        ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_CRATE_NAME", "CARGO_BIN_NAME"].map(env::var_os);
    Literal::u64_unsuffixed(key_of(&names, cfg!(debug_assertions)))
}

/// Returns the key of a crate with these names: in a debug build the runtime's, otherwise one that is not the runtime's.
fn key_of(names: &impl Hash, is_debug: bool) -> u64 {
    if is_debug {
        return RUNTIME;
    }
    let mut hasher = DefaultHasher::new();
    names.hash(&mut hasher);
    hasher.finish().max(RUNTIME + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_have_keys_of_their_own_except_in_debug_builds() {
        let keys =
            ["shop", "shop_lib"].map(|name| ["monitored", "0.1.0", name]).map(|names| key_of(&names, false));
        assert!(keys[0] != keys[1] && !keys.contains(&RUNTIME), "{keys:?}");
        assert_eq!(key_of(&["monitored", "0.1.0", "shop"], false), keys[0]);
        assert_eq!(key_of(&["monitored", "0.1.0", "shop"], true), RUNTIME);
    }
}
