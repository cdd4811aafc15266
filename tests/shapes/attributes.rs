//! Other attributes, and those of this crate: M61, M63 to M65.

use std::panic::Location;

use monitored::monitor;
use monitored::monitor as watch;

use super::support::block_on;

#[test]
fn m61_attributes_that_rustc_knows() {
    #[monitor]
    #[inline]
    fn inlined(number: u32) -> u32 {
        number
    }
    #[inline(never)]
    #[monitor]
    fn not_inlined(number: u32) -> u32 {
        number
    }
    #[monitor]
    #[cold]
    #[must_use = "that is the point"]
    #[doc = "Has documentation."]
    #[doc(hidden)]
    fn marked(number: u32) -> u32 {
        number
    }
    #[deprecated]
    #[monitor]
    fn old(number: u32) -> u32 {
        number
    }
    #[monitor]
    #[rustfmt::skip]
    #[allow(clippy::unused_unit)]
    async fn formatted( number : u32 ) -> u32 { number }
    #[monitor]
    #[cfg(test)]
    #[cfg_attr(all(), allow(clippy::identity_op))]
    async fn configured(#[cfg(test)] number: u32, #[cfg(not(test))] missing: Missing) -> u32 {
        number + 0
    }
    #[monitor(skip(left_out))]
    fn parameters(
        #[cfg(test)] number: u32,
        #[cfg(not(test))] missing: Missing,
        #[allow(unused_variables)] left_out: u32,
        #[allow(unused_variables)] unused: u32,
    ) -> Result<u32, std::num::ParseIntError> {
        if number == 0 {
            return Ok(1);
        }
        let byte: u8 = number.to_string().parse()?;
        Ok(u32::from(byte))
    }
    #[monitor]
    fn unused_allowed(#[allow(unused_variables)] unused: u32, used: u32) -> u32 {
        used
    }
    #[monitor]
    async fn unused_allowed_later(#[allow(unused_variables)] unused: u32, used: u32) -> u32 {
        used
    }
    #[allow(deprecated, reason = "that is the point")]
    let sum = inlined(1) + not_inlined(1) + marked(1) + old(1);
    assert_eq!(sum, 4);
    assert_eq!(block_on(formatted(1)) + block_on(configured(1)), 2);
    assert_eq!((parameters(0, 0, 0), parameters(2, 0, 0)), (Ok(1), Ok(2)));
    assert!(parameters(300, 0, 0).is_err());
    assert_eq!(unused_allowed(1, 2) + block_on(unused_allowed_later(1, 2)), 4);
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[test]
fn m61_track_caller_sees_the_callers_place() {
    #[monitor]
    #[track_caller]
    fn value() -> u32 {
        line()
    }
    #[monitor]
    #[track_caller]
    fn unit(place: &mut u32) {
        *place = line();
    }
    #[monitor]
    #[track_caller]
    fn early(fails: Option<&str>, (flag, _): (bool, u32)) -> Result<(u32, u32), Box<dyn std::error::Error>> {
        let number: u32 = fails.unwrap_or("1").parse()?;
        let closure = || -> Result<u32, std::fmt::Error> { Err(std::fmt::Error)? };
        if flag {
            return Ok((line(), number));
        }
        for index in 0..2 {
            if index == 1 {
                return Err("returned".into());
            }
        }
        closure()?;
        Ok((line(), "2".parse()?))
    }
    #[monitor]
    #[track_caller]
    fn option(numbers: &[u32]) -> Option<(u32, Vec<u32>)> {
        let all = vec![*numbers.first()?, *numbers.get(1)?];
        Some((line(), all))
    }
    #[monitor]
    #[cfg_attr(test, track_caller)]
    fn conditionally() -> u32 {
        line()
    }
    #[monitor]
    #[track_caller]
    fn boxed(fails: bool) -> std::pin::Pin<Box<dyn std::future::Future<Output = u32>>> {
        let place = line();
        if fails {
            return Box::pin(async { 0 });
        }
        Box::pin(async move { place })
    }
    #[monitor]
    #[track_caller]
    fn opaque(numbers: &mut Vec<u32>) -> impl Iterator<Item = u32> + '_ {
        numbers.push(line());
        numbers.drain(..)
    }
    struct Held(Option<u32>);
    impl Held {
        #[monitor]
        #[track_caller]
        fn take(&mut self) -> (u32, &mut Option<u32>) {
            (line(), &mut self.0)
        }
    }
    let here = || Location::caller().line();
    assert_eq!(value(), here_plus(0, Location::caller()));
    assert_eq!(conditionally(), line());
    let mut place = 0;
    unit(&mut place);
    assert_eq!(place, line() - 1);
    assert_eq!(early(None, (true, 1)).ok(), Some((line(), 1)));
    assert_eq!(early(Some("x"), (true, 1)).map_err(|error| error.to_string()).ok(), None);
    assert_eq!(early(None, (false, 1)).map_err(|error| error.to_string()), Err(String::from("returned")));
    assert_eq!(option(&[1, 2]), Some((line(), vec![1, 2])));
    assert_eq!(option(&[1]), None);
    assert_eq!((block_on(boxed(false)), block_on(boxed(true))), (line(), 0));
    assert_eq!(opaque(&mut vec![]).collect::<Vec<_>>(), [line()]);
    assert_eq!(*Held(Some(1)).take().1, Some(1));
    assert_eq!(Held(None).take().0, line());
    assert!(here() > 0);
}

fn here_plus(lines: u32, place: &Location<'_>) -> u32 {
    place.line() + lines
}

#[test]
fn m63_two_of_our_attributes() {
    #[monitor]
    #[monitor(skip(number), group = "both")]
    fn value(number: u32) -> Result<u32, u32> {
        Ok(number)
    }
    #[watch]
    #[monitor]
    fn renamed(number: u32) -> Result<u32, u32> {
        Ok(number)
    }
    #[watch]
    #[watch]
    fn unit(number: &mut u32) {
        *number += 1;
    }
    #[watch]
    #[monitor(no_result)]
    async fn later(number: u32) -> Result<u32, u32> {
        Ok(number)
    }
    #[monitor]
    #[monitor(off)]
    const fn off(number: u32) -> u32 {
        number
    }
    let mut number = 0;
    unit(&mut number);
    assert_eq!(number, 1);
    assert_eq!((value(1), renamed(1), block_on(later(1))), (Ok(1), Ok(1), Ok(1)));
    assert_eq!(off(1), 1);
}

#[test]
fn m64_under_cfg_attr() {
    #[cfg_attr(all(), monitor(group = "conditional"))]
    fn on(number: u32) -> u32 {
        number
    }
    #[cfg_attr(any(), monitor)]
    fn off(number: u32) -> u32 {
        number
    }
    #[cfg_attr(all(), inline, monitor)]
    async fn later(number: u32) -> u32 {
        number
    }
    assert_eq!(on(1) + off(1) + block_on(later(1)), 3);
}

#[allow(dead_code, reason = "without recording nothing refers to them")]
mod settings {
    pub(super) const NAME: &str = "settings::named";
    pub(super) const RATE: f64 = 0.5;
    pub(super) const LIMIT: &str = "5ms";
    pub(super) const fn rate(percent: u32) -> f64 {
        percent as f64 / 100.0
    }
}

#[test]
fn m65_option_values_may_be_constants_and_expressions() {
    #[monitor(name = settings::NAME, group = "constants", sample = settings::RATE, slow = settings::LIMIT)]
    fn constants(number: u32) -> u32 {
        number
    }
    #[monitor(
        name = concat!("shapes", "::", "expressions"),
        sample = settings::rate(10),
        slow = "1h",
        fields(doubled = number * 2, length = text.len(), "http.status" = 200, literal = "a", password = text,),
        error_if = |result| *result == 0,
    )]
    fn expressions(number: u32, text: &str) -> usize {
        usize::from(number > 1) + text.len()
    }
    #[monitor(error_if = Option::is_none, sample = 1, no_result)]
    fn path() -> Option<u8> {
        None
    }
    #[monitor(error_if = |result: &Result<u8, String>| matches!(result, Ok(0)))]
    async fn later(number: u8) -> Result<u8, String> {
        Ok(number)
    }
    #[monitor(sample = 0, fields(own = number), skip(number))]
    async fn later_unit(number: u8) {
        let _: u8 = number;
    }
    struct Held {
        name: String,
    }
    impl Held {
        #[monitor(fields(name = self.name), skip(self))]
        fn take(self) -> String {
            self.name
        }
        #[monitor(fields(length = self.name.len()))]
        async fn later(&mut self, more: &str) -> &str {
            self.name.push_str(more);
            &self.name
        }
    }
    assert_eq!(constants(1), 1);
    assert_eq!(expressions(2, "a"), 2);
    assert_eq!(path(), None);
    assert_eq!(block_on(later(1)), Ok(1));
    block_on(later_unit(1));
    let mut held = Held { name: String::from("a") };
    assert_eq!(block_on(held.later("b")), "ab");
    assert_eq!(held.take(), "ab");
}

#[test]
fn m61_an_index_out_of_bounds_is_reported_at_its_caller() {
    struct Table(Vec<u8>);
    #[monitor]
    impl std::ops::Index<usize> for Table {
        type Output = u8;
        fn index(&self, at: usize) -> &u8 {
            self.0.get(at).expect("no such row")
        }
    }
    impl std::ops::IndexMut<usize> for Table {
        #[monitor]
        fn index_mut(&mut self, at: usize) -> &mut u8 {
            self.0.get_mut(at).expect("no such row")
        }
    }
    trait Row {
        #[track_caller]
        fn row(&self, at: usize) -> u8;
    }
    impl Row for Table {
        // Only the trait has the attribute. The attribute on a method does not know that it is one of a trait.
        #[monitor]
        #[track_caller]
        fn row(&self, at: usize) -> u8 {
            self.0.get(at).copied().expect("no such row")
        }
    }
    let line_of = |run: fn(&mut Table) -> u8| {
        assert!(std::panic::catch_unwind(|| run(&mut Table(Vec::new()))).is_err());
        LINE.with(std::cell::Cell::get)
    };
    thread_local!(static LINE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        LINE.with(|seen| seen.set(info.location().map_or(0, std::panic::Location::line)));
        before(info);
    }));
    let here = line!();
    assert_eq!(line_of(|table| table[1]), here + 1);
    assert_eq!(line_of(|table| std::mem::take(&mut table[2])), here + 2);
    assert_eq!(line_of(|table| table.row(3)), here + 3);
    let mut table = Table(vec![1, 2]);
    table[1] += 1;
    assert_eq!((table[0], table[1], table.row(0)), (1, 3, 1));
}

#[test]
fn m61_a_method_keeps_the_callers_place_that_its_trait_asks_for() {
    trait Place: Sized {
        #[track_caller]
        fn line(&self) -> u32;
        #[track_caller]
        fn line_unless(self, other: bool) -> Option<u32>;
        #[track_caller]
        fn line_or(&self, text: &str) -> Result<u32, std::num::ParseIntError>;
        #[track_caller]
        fn only<T>(self, value: T) -> (T, u32);
        fn unwritten(&self) -> u32;
        fn never(&self, text: &str) -> String;
        fn looped(&self) -> String;
        fn by_macro(&self) -> Option<u32>;
    }
    macro_rules! returns {
        () => {
            return None
        };
    }
    struct Here(u32);
    #[monitor]
    impl Place for Here {
        fn line(&self) -> u32 {
            line()
        }
        fn line_unless(self, other: bool) -> Option<u32> {
            if other {
                return (self.0 > 1).then_some(self.0);
            }
            Some(line())
        }
        fn line_or(&self, text: &str) -> Result<u32, std::num::ParseIntError> {
            match text {
                "" => {}
                text => return text.parse(),
            }
            let zero: u32 = "0".parse()?;
            Ok(zero + line())
        }
        fn only<T>(self, value: T) -> (T, u32) {
            (value, line())
        }
        fn unwritten(&self) -> u32 {
            unimplemented!()
        }
        fn never(&self, text: &str) -> String {
            panic!("{text} {}", self.0)
        }
        fn looped(&self) -> String {
            let mut rest = self.0;
            loop {
                rest += 1;
                if rest > 3 {
                    break rest.to_string();
                }
            }
        }
        fn by_macro(&self) -> Option<u32> {
            if self.0 > 0 {
                returns!();
            }
            Some(self.0)
        }
    }
    assert_eq!(Here(1).line(), line!());
    assert_eq!((Here(1).line_unless(false), Here(2).line_unless(true)), (Some(line!()), Some(2)));
    assert_eq!(Here(1).line_unless(true), None);
    assert_eq!((Here(1).line_or(""), Here(1).line_or("2")), (Ok(line!()), Ok(2)));
    assert!(Here(1).line_or("a").is_err());
    assert_eq!(Here(1).only("a"), ("a", line!()));
    assert_eq!((Here(1).looped(), Here(1).by_macro(), Here(0).by_macro()), ("4".to_owned(), None, Some(0)));
    assert!(std::panic::catch_unwind(|| Here(1).unwritten()).is_err());
    assert!(std::panic::catch_unwind(|| Here(1).never("never")).is_err());
}
