//! Functions that one line of a macro makes: some have the same path, as methods of types of one name, and some have
//! different names.

use monitored::monitor;

trait Seller {
    fn sell(number: u64) -> bool;
}

macro_rules! priced {
    ($($seller:ident),*) => {$(
        struct $seller;
        const _: () = {
            struct Shelf;
            impl Shelf {
                #[monitor(no_result)]
                fn price(&self, number: u64) -> bool {
                    number > 0
                }
            }
            impl Seller for $seller {
                fn sell(number: u64) -> bool {
                    Shelf.price(number)
                }
            }
        };
    )*};
}
priced!(Often, LessOften, Rarely);

macro_rules! named {
    ($($name:ident),*) => {$(
        #[monitor(no_result)]
        fn $name(number: u64) -> bool {
            number > 0
        }
    )*};
}
named!(first, second);

/// Calls the functions of the same path this often, two of the three less often, and the others once and twice.
/// Flushes in between.
pub(super) fn run(number: u64) {
    let mut sum = 0_u64;
    for at in 0..number {
        sum += u64::from(Often::sell(1));
        sum += u64::from(at % 2 == 0 && LessOften::sell(1));
        if at % 10 == 0 {
            sum += u64::from(Rarely::sell(1));
            monitored::flush(super::IN_TIME).expect("a flush");
        }
    }
    let named = [first(1), second(1), second(1)];
    println!("{sum} {}", named.len());
}
