//! The program, compiled once with the attribute and once without: a request of four calls.

/// The handler of a request.
pub(crate) type Serve = fn(u64) -> usize;

macro_rules! program {
    ($(#[$doc:meta])* $form:ident, [$($attribute:tt)*]) => {
        $(#[$doc])*
        pub(crate) mod $form {
            $($attribute)*
            fn load(id: u64) -> Result<String, String> {
                if id % 1000 == 999 { Err(format!("no order {id}")) } else { Ok(format!("order {id}")) }
            }

            $($attribute)*
            fn price(id: u64) -> u64 {
                std::hint::black_box(id % 100) * 7
            }

            $($attribute)*
            fn render(order: &str, price: u64) -> String {
                format!("{order}: {price}")
            }

            /// Serves a request. Returns the length of its answer.
            $($attribute)*
            pub(crate) fn serve(id: u64) -> usize {
                load(id).map_or(0, |order| render(&order, price(id)).len())
            }
        }
    };
}

program!(
    /// The program with the attribute.
    with, [#[monitored::monitor]]
);
program!(
    /// The program without it.
    without, []
);
