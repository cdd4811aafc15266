//! Functions as ordinary programs have them, for no rule in particular.

use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Debug, Display, Write as _};
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::ops::{Add, Deref, DerefMut, Index, IndexMut};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use monitored::monitor;

use super::support::{block_on, yield_now};

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Square(String),
    Circle { name: String, radius: u32 },
}

#[monitor]
impl Shape {
    fn name(self) -> String {
        match self {
            Self::Square(name) | Self::Circle { name, .. } => name,
        }
    }
    fn radius(&self) -> Option<&u32> {
        let Self::Circle { radius, .. } = self else { return None };
        Some(radius)
    }
    fn grow(&mut self, by: u32) -> Option<&mut u32> {
        match self {
            Self::Square(_) => None,
            Self::Circle { radius, .. } => {
                *radius += by;
                Some(radius)
            }
        }
    }
    fn in_thread(self) -> std::thread::Result<String> {
        std::thread::spawn(move || self.name()).join()
    }
    fn closure<'a>(&'a self, other: &'a str) -> impl Fn(&str) -> String + 'a {
        move |text| format!("{:?}{}{}", self, other, text)
    }
    async fn rename(&mut self, new: impl Into<String>) -> Result<&str, Box<dyn Error + Send + Sync>> {
        yield_now().await;
        match self {
            Self::Square(name) | Self::Circle { name, .. } => *name = new.into(),
        }
        match self {
            Self::Square(name) if name.is_empty() => Err("no name")?,
            Self::Square(name) | Self::Circle { name, .. } => Ok(name),
        }
    }
}

#[test]
fn methods_of_an_enum() {
    let mut shape = Shape::Circle { name: String::from("a"), radius: 1 };
    assert_eq!(shape.grow(1), Some(&mut 2));
    assert_eq!(shape.radius(), Some(&2));
    assert!(shape.closure("b")("c").ends_with("bc"));
    assert_eq!(block_on(shape.rename("d")).ok(), Some("d"));
    assert_eq!(shape.clone().in_thread().ok().as_deref(), Some("d"));
    assert_eq!(Shape::Square(shape.name()).name(), "d");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Money {
    cents: i64,
}

#[monitor]
impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { cents: self.cents + other.cents }
    }
}

#[monitor]
impl Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.", self.cents / 100)?;
        write!(formatter, "{:02}", self.cents % 100)
    }
}

#[monitor]
impl FromStr for Money {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { cents: text.parse()? })
    }
}

#[monitor]
impl From<i64> for Money {
    fn from(cents: i64) -> Self {
        Self { cents }
    }
}

#[monitor]
#[allow(clippy::derived_hash_with_manual_eq)]
impl Hash for Money {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.cents.hash(state);
    }
}

struct Purse {
    moneys: Vec<Money>,
    next: usize,
}

#[monitor]
impl Iterator for Purse {
    type Item = Money;
    fn next(&mut self) -> Option<Self::Item> {
        let next = *self.moneys.get(self.next)?;
        self.next += 1;
        Some(next)
    }
}

#[monitor]
impl Index<usize> for Purse {
    type Output = Money;
    fn index(&self, at: usize) -> &Self::Output {
        &self.moneys[at]
    }
}

#[monitor]
impl IndexMut<usize> for Purse {
    fn index_mut(&mut self, at: usize) -> &mut Money {
        &mut self.moneys[at]
    }
}

#[monitor]
impl Deref for Purse {
    type Target = [Money];
    fn deref(&self) -> &[Money] {
        &self.moneys
    }
}

#[monitor]
impl DerefMut for Purse {
    fn deref_mut(&mut self) -> &mut [Money] {
        &mut self.moneys
    }
}

#[monitor]
impl<'a> Extend<&'a Money> for Purse {
    fn extend<I: IntoIterator<Item = &'a Money>>(&mut self, moneys: I) {
        self.moneys.extend(moneys);
    }
}

#[test]
fn implementations_of_the_standard_traits() {
    let mut purse = Purse { moneys: vec![Money::from(150), "2".parse().expect("a number")], next: 0 };
    assert!(Money::from_str("x").is_err());
    purse[0].cents += 5;
    purse.extend(&[Money { cents: 1 }]);
    purse.sort_unstable_by_key(|money| money.cents);
    assert_eq!((purse.len(), purse[2].to_string()), (3, String::from("1.55")));
    let sum = purse.by_ref().fold(Money::from(0), Add::add);
    assert_eq!(sum, Money { cents: 158 });
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    sum.hash(&mut hasher);
    assert_ne!(hasher.finish(), 0);
}

struct Countdown(u32);

#[monitor]
impl Future for Countdown {
    type Output = Result<u32, String>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0 == 0 {
            return Poll::Ready(Ok(0));
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[monitor]
async fn counts(from: u32) -> Result<u32, String> {
    let left = Countdown(from).await?;
    Ok(left + from)
}

#[test]
fn a_future_written_by_hand() {
    assert_eq!(block_on(counts(2)), Ok(2));
}

struct Cache<K, V> {
    map: Mutex<BTreeMap<K, V>>,
    cell: RefCell<Vec<V>>,
}

#[monitor]
impl<K: Ord + Clone, V: Clone + Default> Cache<K, V> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, V>> {
        self.map.lock().expect("not poisoned")
    }
    fn first(&self) -> Option<Ref<'_, V>> {
        Ref::filter_map(self.cell.borrow(), |values| values.first()).ok()
    }
    fn get_or_insert_with<F>(&self, key: K, make: F) -> V
    where
        F: FnOnce(&K) -> V,
    {
        let mut map = self.lock();
        if let Some(value) = map.get(&key) {
            return value.clone();
        }
        let value = make(&key);
        map.insert(key, value.clone());
        value
    }
    fn keys(&self) -> impl Iterator<Item = K> + '_ {
        let keys: Vec<K> = self.lock().keys().cloned().collect();
        keys.into_iter()
    }
    fn values<'a>(&'a self, wanted: &'a V) -> Box<dyn Iterator<Item = V> + 'a>
    where
        V: PartialEq,
    {
        let values: Vec<V> = self.lock().values().filter(|value| *value == wanted).cloned().collect();
        Box::new(values.into_iter())
    }
    async fn update<F, O>(&self, key: &K, mut update: F) -> Option<V>
    where
        F: FnMut(V) -> O,
        O: Future<Output = V>,
    {
        let old = self.lock().get(key)?.clone();
        let new = update(old).await;
        self.lock().insert(key.clone(), new.clone());
        Some(new)
    }
}

#[test]
fn generic_methods_that_borrow() {
    let cache = Cache { map: Mutex::default(), cell: RefCell::new(vec![1]) };
    assert_eq!(cache.get_or_insert_with("a", |key| key.len()), 1);
    assert_eq!(cache.get_or_insert_with("a", |_| 9), 1);
    assert_eq!(cache.first().map(|first| *first), Some(1));
    assert_eq!(cache.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(block_on(cache.update(&"a", |old| async move { old + 1 })), Some(2));
    assert_eq!(block_on(cache.update(&"b", |old| async move { old })), None);
    assert_eq!(cache.values(&2).count(), 1);
}

#[test]
fn recursion_through_closures_and_references() {
    #[monitor]
    fn visit(left: u32, visitor: &mut impl FnMut(u32)) {
        visitor(left);
        if left > 0 {
            visit(left - 1, visitor);
            visitor(left);
        }
    }
    #[monitor]
    fn collect<'a>(text: &'a str, into: &mut Vec<&'a str>) -> Result<usize, fmt::Error> {
        if let Some((first, rest)) = text.split_once(',') {
            into.push(first);
            return collect(rest, into);
        }
        into.push(text);
        Ok(into.len())
    }
    #[monitor]
    fn fold(numbers: &[u32], with: &dyn Fn(u32, u32) -> u32) -> u32 {
        match numbers {
            [] => 0,
            [first, rest @ ..] => with(*first, fold(rest, with)),
        }
    }
    let mut visited = Vec::new();
    visit(2, &mut |left| visited.push(left));
    assert_eq!(visited, [2, 1, 0, 1, 2]);
    let mut parts = Vec::new();
    assert_eq!(collect("a,b,c", &mut parts), Ok(3));
    assert_eq!(fold(&[1, 2, 3], &|a, b| a + b), 6);
}

#[test]
fn lifetimes_that_are_not_written() {
    #[monitor]
    fn cow(text: Cow<'_, str>) -> Cow<'_, str> {
        if text.is_empty() { Cow::Borrowed("empty") } else { text }
    }
    #[monitor]
    fn boxed(text: &str) -> Box<dyn Iterator<Item = char> + '_> {
        Box::new(text.chars().rev())
    }
    #[monitor]
    fn dynamic<'a, T: Debug + 'a>(value: T, _other: &str) -> Box<dyn Debug + 'a> {
        Box::new(value)
    }
    #[monitor]
    fn split(text: &str) -> (&str, Option<&str>) {
        text.split_once(' ').map_or((text, None), |(first, rest)| (first, Some(rest)))
    }
    #[monitor]
    fn two<'a, 'b: 'a>(first: &'a mut Vec<&'b str>, second: &'b str) -> &'a [&'b str] {
        first.push(second);
        first
    }
    #[monitor]
    fn filtered<'a>(texts: &'a [String], wanted: &'a str) -> impl Iterator<Item = &'a String> + 'a {
        texts.iter().filter(move |text| text.contains(wanted))
    }
    #[monitor]
    fn unsized_argument<T: ?Sized + ToString>(value: &T) -> String {
        value.to_string()
    }
    assert_eq!(cow("".into()) + cow("a".into()), "emptya");
    assert_eq!(boxed("ab").collect::<String>(), "ba");
    assert_eq!(format!("{:?}", dynamic(1, "")), "1");
    assert_eq!(split("a b"), ("a", Some("b")));
    assert_eq!(two(&mut vec!["a"], "b"), ["a", "b"]);
    assert_eq!(filtered(&[String::from("ab")], "b").count(), 1);
    assert_eq!(unsized_argument("a"), "a");
}

trait Lending {
    type Item<'a>
    where
        Self: 'a;
    fn lend(&mut self) -> Option<Self::Item<'_>>;
    #[monitor]
    fn lend_twice(&mut self) -> Option<Self::Item<'_>> {
        self.lend()?;
        self.lend()
    }
    #[monitor]
    fn all(&self) -> impl Iterator<Item = u8> + '_
    where
        Self: AsRef<[u8]>,
    {
        self.as_ref().iter().copied()
    }
}

struct Bytes(Vec<u8>, usize);

#[monitor]
impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[monitor]
impl Lending for Bytes {
    type Item<'a> = &'a mut u8;
    fn lend(&mut self) -> Option<Self::Item<'_>> {
        self.1 += 1;
        self.0.get_mut(self.1 - 1)
    }
}

#[test]
fn types_that_lend() {
    let mut bytes = Bytes(vec![1, 2, 3], 0);
    assert_eq!(bytes.lend_twice(), Some(&mut 2));
    assert_eq!(bytes.all().count(), 3);
}

#[test]
fn closures_and_functions_as_results() {
    #[monitor]
    fn by_inference() -> impl Fn(&str) -> usize {
        |text| text.len() + 1
    }
    #[monitor]
    fn returned_early(flag: bool) -> impl for<'a> FnMut(&'a str, &'a str) -> &'a str {
        move |first, second| if flag { first } else { second }
    }
    #[monitor]
    fn annotated(flag: bool) -> Result<impl Fn(&str) -> usize, String> {
        if flag {
            return Err(String::from("none"));
        }
        Ok(|text: &str| text.len())
    }
    #[monitor]
    fn in_a_tuple(from: usize) -> (impl Fn(&str) -> &str, (usize, impl Fn(&str) -> usize)) {
        (move |text| &text[from..], (from, |text| text.len()))
    }
    #[monitor(error_if = |made: &(_, usize)| made.1 > 9)]
    fn in_a_tested_tuple(from: usize) -> (impl Fn(&str) -> usize, usize) {
        (move |text: &str| text.len() + from, from)
    }
    #[monitor]
    async fn annotated_later(more: usize) -> impl Fn(&str) -> usize {
        move |text: &str| text.len() + more
    }
    #[monitor]
    async fn made_elsewhere(from: usize) -> impl Fn(&str) -> &str {
        fn make(from: usize) -> impl Fn(&str) -> &str {
            move |text| &text[from..]
        }
        make(from)
    }
    #[monitor]
    fn dynamic() -> Box<dyn Fn(&str) -> usize> {
        Box::new(|text| text.len() + 1)
    }
    #[monitor]
    fn pointer() -> fn(&str) -> usize {
        |text| text.len() + 1
    }
    #[monitor]
    fn literals() -> impl IntoIterator<Item = u64> {
        [1, 2, 3]
    }
    assert_eq!(by_inference()("a") + dynamic()("a") + pointer()("a"), 6);
    assert_eq!(returned_early(true)("a", "b"), "a");
    let (rest, (_, length)) = in_a_tuple(1);
    assert_eq!((rest("ab"), length("ab"), in_a_tested_tuple(1).0("a")), ("b", 2, 2));
    assert_eq!((block_on(annotated_later(1))("a"), block_on(made_elsewhere(1))("ab")), (2, "b"));
    assert_eq!(annotated(false).map(|length| length("a")), Ok(1));
    assert!(annotated(true).is_err());
    assert_eq!(literals().into_iter().sum::<u64>(), 6);
}

#[test]
fn many_arguments_and_shadowed_ones() {
    #[monitor]
    #[allow(clippy::too_many_arguments, clippy::many_single_char_names, reason = "that is the point")]
    async fn many(
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
    ) -> u8 {
        yield_now().await;
        a + b + c + d + e + f + g + h + i + j + k + l + m
    }
    #[monitor]
    fn shadowed(text: &str, number: u32) -> Result<String, fmt::Error> {
        let text = text.trim();
        let number = number + 1;
        let mut out = String::new();
        for number in 0..number {
            let text = text.to_owned() + &number.to_string();
            write!(out, "{}", text)?;
        }
        Ok(out)
    }
    #[monitor]
    fn shared(shared: Arc<Mutex<Vec<u32>>>, pushed: u32) -> Arc<Mutex<Vec<u32>>> {
        shared.lock().expect("not poisoned").push(pushed);
        shared
    }
    assert_eq!(block_on(many(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)), 13);
    assert_eq!(shadowed(" a", 1), Ok(String::from("a0a1")));
    assert_eq!(shared(Arc::default(), 1).lock().expect("not poisoned").len(), 1);
}
