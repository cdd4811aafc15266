//! Functions that one line of a macro makes: some have the same path, in impl blocks of one trait for other types, and
//! some have different names.

use monitored::monitor;

trait Priced<T> {
    fn price(&self, number: T) -> bool;
}

struct Shelf;

macro_rules! priced {
    ($($number:ty),*) => {$(
        impl Priced<$number> for Shelf {
            #[monitor(no_result)]
            fn price(&self, number: $number) -> bool {
                number > 0
            }
        }
    )*};
}
priced!(u8, u16, u32);

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
        sum += u64::from(Shelf.price(1_u8));
        sum += u64::from(at % 2 == 0 && Shelf.price(1_u16));
        if at % 10 == 0 {
            sum += u64::from(Shelf.price(1_u32));
            monitored::flush(super::IN_TIME).expect("a flush");
        }
    }
    let named = [first(1), second(1), second(1)];
    println!("{sum} {}", named.len());
}
