//! Calls functions under `#[monitor]` and asserts what is recorded of them, read in this very process. Tests are named
//! by their rule; each looks only at functions of its own.
#![allow(
    clippy::cast_possible_truncation,
    clippy::redundant_closure_for_method_calls,
    clippy::toplevel_ref_arg,
    clippy::trivially_copy_pass_by_ref,
    clippy::unused_self,
    reason = "each function has the shape that its test is about"
)]

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Condvar, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use monitored::{Outcome, Record, Subscription, monitor};
use rusqlite::{Connection, OpenFlags};

/// The longest time that a test waits. It takes far less; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// All records of this process since the first test began.
#[derive(Debug, Default)]
struct Recorded {
    records: Mutex<Vec<Record>>,
    more: Condvar,
}

static RECORDED: Recorded = Recorded { records: Mutex::new(Vec::new()), more: Condvar::new() };

static SUBSCRIPTION: LazyLock<Subscription> = LazyLock::new(|| {
    monitored::subscribe(|records| {
        RECORDED.records.lock().unwrap().extend_from_slice(records);
        RECORDED.more.notify_all();
    })
});

/// Calls `run` and returns what it recorded of the functions whose path begins with that of the test: `count` calls in
/// the order of their starts.
fn recorded(test: &str, count: usize, run: impl FnOnce()) -> Vec<Record> {
    assert_eq!(SUBSCRIPTION.missed(), 0);
    run();
    monitored::flush(PATIENCE).unwrap();
    let prefix = format!("it::macro_behaviour::{test}");
    let deadline = Instant::now() + PATIENCE;
    let mut records = RECORDED.records.lock().unwrap();
    loop {
        let is_of_test = |record: &&Record| record.function.starts_with(&prefix);
        let mut found: Vec<Record> = records.iter().filter(is_of_test).cloned().collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if found.len() >= count || left.is_zero() {
            assert_eq!(found.len(), count, "{found:#?}");
            found.sort_by_key(|record| (record.start_ns, record.span_id));
            return found;
        }
        records = RECORDED.more.wait_timeout(records, left).unwrap().0;
    }
}

/// Returns the last part of a function's path.
fn name(record: &Record) -> &str {
    record.function.rsplit("::").next().unwrap()
}

/// Returns function, outcome and error or result of a call in a line.
fn ending(record: &Record) -> String {
    let text = record.error.as_deref().or(record.result.as_deref()).unwrap_or("-");
    format!("{} {:?} {text}", name(record), record.outcome)
}

fn endings(records: &[Record]) -> Vec<String> {
    records.iter().map(ending).collect()
}

/// Returns arguments or fields, and a dash for none.
fn shown(text: Option<&String>) -> &str {
    text.map_or("-", String::as_str)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A type that has neither `Debug` nor `Serialize`.
struct Opaque;

type Fallible<T> = Result<T, String>;

#[test]
fn m15_the_outcome_follows_from_the_type() {
    #[monitor]
    fn alias(fails: bool) -> Fallible<u8> {
        if fails { Err(String::from("aliased")) } else { Ok(1) }
    }
    #[monitor]
    fn option() -> Option<u8> {
        None
    }
    #[monitor]
    fn poll() -> Poll<Result<u8, String>> {
        Poll::Ready(Err(String::from("polled")))
    }
    #[monitor]
    fn flow() -> ControlFlow<u8, u8> {
        ControlFlow::Break(1)
    }
    #[monitor]
    fn nested() -> Result<Result<u8, String>, u8> {
        Ok(Err(String::from("inner")))
    }
    #[monitor]
    fn chain() -> Result<u8, Box<dyn std::error::Error>> {
        Err("dynamic".into())
    }
    #[monitor]
    fn generic<T, E>(result: Result<T, E>) -> Result<T, E> {
        result
    }
    #[monitor]
    fn opaque() -> Result<impl Sized, Opaque> {
        Err::<u8, _>(Opaque)
    }
    #[monitor]
    async fn later() -> Fallible<u8> {
        Err(String::from("later"))
    }
    let records = recorded("m15_the_outcome_follows_from_the_type", 10, || {
        let _ = (alias(true), alias(false), option(), poll(), flow(), nested(), chain());
        let _ = (generic(Err::<u8, _>("generic")), opaque(), block_on(later()));
    });
    assert_eq!(
        endings(&records),
        [
            "alias Error aliased",
            "alias Ok 1",
            "option Ok null",
            "poll Error polled",
            r#"flow Ok "Break(1)""#,
            r#"nested Ok {"Err":"inner"}"#,
            "chain Error dynamic",
            "generic Error [&str]",
            "opaque Error [it::macro_behaviour::Opaque]",
            "later Error later",
        ]
    );
}

#[test]
fn m09_futures_are_timed_until_they_complete() {
    const PAUSE: Duration = Duration::from_millis(30);

    #[monitor]
    fn opaque(number: u32) -> impl Future<Output = Result<u32, String>> {
        async move {
            tokio::time::sleep(PAUSE).await;
            if number == 0 { Err(String::from("zero")) } else { Ok(number) }
        }
    }
    #[monitor]
    fn boxed(number: u32) -> Pin<Box<dyn Future<Output = Result<u32, String>> + Send>> {
        Box::pin(async move {
            tokio::time::sleep(PAUSE).await;
            if number == 0 { Err(String::from("zero")) } else { Ok(number) }
        })
    }
    #[monitor]
    fn statements((number, _): (u32, u32)) -> Pin<Box<dyn Future<Output = u32>>> {
        let within = opaque(2);
        if number == 0 {
            return Box::pin(async { 0 });
        }
        Box::pin(async move { within.await.unwrap_or(0) })
    }
    #[monitor]
    fn fails_at_once(number: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        assert!(number > 0, "made of nothing");
        Box::pin(async move { number })
    }
    // A pair that holds a future is not a future: the call ends when the pair is returned.
    #[monitor]
    fn compound() -> (impl Future<Output = u32>, u32) {
        (async { 1 }, 2)
    }
    let records = recorded("m09_futures_are_timed_until_they_complete", 6, || {
        block_on(async {
            let _ = (opaque(0).await, boxed(1).await, statements((1, 2)).await);
            let (future, _) = compound();
            let _ = std::panic::catch_unwind(|| fails_at_once(0));
            drop(future);
        });
    });
    assert_eq!(endings(&records[..4]), ["opaque Error zero", "boxed Ok 1", "statements Ok 2", "opaque Ok 2"]);
    let [.., compound, fails] = &records[..] else { panic!("six calls") };
    assert_eq!((name(compound), compound.outcome), ("compound", Outcome::Ok));
    assert!(ending(fails).starts_with("fails_at_once Panic made of nothing"), "{fails:?}");
    for record in &records[..4] {
        assert!(record.duration_ns >= 30_000_000 && record.busy_ns < record.duration_ns, "{record:?}");
    }
    assert_eq!(shown(records[2].args.as_ref()), r#"{"number":1}"#);
    assert_eq!(
        records[3].parent_id,
        Some(records[2].span_id),
        "the call made while its caller makes its future has that caller as its parent"
    );
}

#[test]
fn m08_aliases_are_timed_until_they_complete_and_plain_values_until_they_are_returned() {
    type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
    #[derive(Debug)]
    struct LocalBoxFuture<T>(T);
    #[monitor]
    fn alias(number: u32) -> BoxFuture<u32, String> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            if number == 0 { Err(String::from("zero")) } else { Ok(number) }
        })
    }
    #[monitor]
    fn passed(number: u32) -> BoxFuture<u32, String> {
        alias(number)
    }
    #[monitor]
    fn plain() -> LocalBoxFuture<u32> {
        LocalBoxFuture(3)
    }
    #[monitor]
    fn variable<T>(value: T) -> Pin<Box<dyn Future<Output = Option<T>>>>
    where
        T: std::fmt::Debug + 'static,
    {
        let future = async { Some(value) };
        Box::pin(future)
    }
    let test = "m08_aliases_are_timed_until_they_complete_and_plain_values_until_they_are_returned";
    let records = recorded(test, 7, || {
        let _ = (block_on(alias(0)), block_on(passed(2)), plain(), block_on(variable("a")));
        drop(passed(4));
    });
    let endings = endings(&records);
    assert_eq!(endings[..3], ["alias Error zero", "passed Ok 2", "alias Ok 2"]);
    assert_eq!(records[2].parent_id, Some(records[1].span_id));
    assert!(records[..3].iter().all(|record| record.duration_ns >= 30_000_000), "{records:?}");
    assert_eq!(
        endings[3..],
        [
            r#"plain Ok "LocalBoxFuture(3)""#,
            r#"variable Ok "Some(\"a\")""#,
            "passed Cancelled -",
            "alias Cancelled -"
        ]
    );
}

#[test]
fn m22_patterns_give_one_value_for_each_name() {
    struct Point {
        x: u32,
        y: u32,
    }
    #[monitor]
    fn value(
        (a, _): (u32, u32),
        Point { x, y: renamed }: Point,
        [first, .., last]: [u32; 4],
        &r: &u32,
    ) -> u32 {
        a + x + renamed + first + last + r
    }
    #[monitor]
    fn unit(whole @ [first, _]: [u32; 2], _: u32, ref reference: u32, mut changed: u32) {
        changed += whole[1] + first + reference;
        assert!(changed > 0);
    }
    #[monitor]
    async fn later((a, mut b): (u32, u32), ref c: u32, _: u32, d: &str) -> usize {
        b += a + c;
        d.len() + b as usize
    }
    #[monitor]
    fn receiver(this: &Point, r#type: u32, _unused: u32) -> u32 {
        this.y + r#type
    }
    let records = recorded("m22_patterns_give_one_value_for_each_name", 4, || {
        value((1, 2), Point { x: 3, y: 4 }, [5, 6, 7, 8], &9);
        unit([1, 2], 3, 4, 5);
        block_on(later((1, 2), 3, 4, "five"));
        receiver(&Point { x: 1, y: 2 }, 3, 4);
    });
    let args: Vec<&str> = records.iter().map(|record| shown(record.args.as_ref())).collect();
    assert_eq!(
        args,
        [
            r#"{"a":1,"x":3,"renamed":4,"first":5,"last":8,"r":9}"#,
            r#"{"whole":[1,2],"first":1,"reference":4,"changed":5}"#,
            r#"{"a":1,"b":2,"c":3,"d":"five"}"#,
            r#"{"this":"[&it::macro_behaviour::m22_patterns_give_one_value_for_each_name::Point]","type":3,"_unused":4}"#,
        ]
    );
}

#[test]
fn m29_a_type_of_no_kind_is_stored_by_its_name() {
    #[monitor]
    fn plain(argument: Opaque) -> Opaque {
        argument
    }
    #[monitor]
    fn generic<T>(argument: T) -> Option<T> {
        Some(argument)
    }
    let records = recorded("m29_a_type_of_no_kind_is_stored_by_its_name", 2, || {
        plain(Opaque);
        generic(1_u8);
    });
    let [plain, generic] = &records[..] else { panic!("two calls") };
    assert_eq!(shown(plain.args.as_ref()), r#"{"argument":"[it::macro_behaviour::Opaque]"}"#);
    assert_eq!(plain.result.as_deref(), Some(r#""[it::macro_behaviour::Opaque]""#));
    assert_eq!(shown(generic.args.as_ref()), r#"{"argument":"[u8]"}"#);
}

mod m47 {
    use monitored::monitor;

    #[monitor(group = "blocks", skip(hidden))]
    pub(super) mod block {
        use monitored::monitor;

        pub(crate) fn plain(shown: u32, hidden: u32) -> u32 {
            shown + hidden
        }
        #[monitor(off)]
        pub(crate) fn left_out(number: u32) -> u32 {
            number
        }
        #[cfg_attr(test, monitor(off))]
        pub(crate) fn conditionally_left_out(number: u32) -> u32 {
            number
        }
        #[cfg_attr(not(test), monitor(off))]
        #[monitor(skip(also))]
        pub(crate) fn own(also: u32, hidden: u32) -> u32 {
            also + hidden
        }
        pub(crate) struct Type;
        impl Type {
            pub(crate) fn method(&self, hidden: u32) -> u32 {
                hidden
            }
        }
        pub(crate) trait Named {
            fn provided(&self) -> u32 {
                1
            }
            fn required(&self) -> u32;
        }
        impl Named for Type {
            fn required(&self) -> u32 {
                2
            }
        }
        pub(crate) mod nested {
            pub(crate) async fn later(hidden: u32) -> u32 {
                hidden
            }
        }
    }
    #[monitor(name = "it::macro_behaviour::m47::prefix")]
    pub(super) mod named {
        pub(crate) fn function() {}
        pub(crate) struct Generic<T>(pub(crate) T);
        impl<T> Generic<T> {
            pub(crate) fn method(&self) {}
        }
        impl<T> Drop for Generic<T> {
            fn drop(&mut self) {}
        }
    }
}

#[test]
fn m47_a_block_gives_its_options_to_what_is_inside() {
    use m47::block::{Named as _, Type, nested, own, plain};
    use m47::named::{Generic, function};
    let records = recorded("m47::", 9, || {
        plain(1, 2);
        m47::block::left_out(1);
        m47::block::conditionally_left_out(1);
        own(1, 2);
        Type.method(1);
        Type.provided();
        Type.required();
        block_on(nested::later(1));
        function();
        Generic(1).method();
    });
    let called: Vec<String> = records
        .iter()
        .map(|record| {
            let function = record.function.strip_prefix("it::macro_behaviour::m47::").unwrap();
            format!("{function} {}", shown(record.args.as_ref()))
        })
        .collect();
    assert_eq!(
        called,
        [
            r#"block::plain {"shown":1}"#,
            "block::own -",
            "block::Type::method -",
            "block::Named::provided -",
            "block::Type::required -",
            "block::nested::later -",
            "prefix::function -",
            "prefix::Generic::method -",
            "prefix::Generic::drop -",
        ]
    );
}

#[test]
fn m63_two_attributes_count_once() {
    #[monitor]
    #[monitor(skip(hidden))]
    fn value(hidden: u32, shown: u32) -> u32 {
        hidden + shown
    }
    #[monitor(no_result)]
    #[monitor(skip_all)]
    async fn later(hidden: u32) -> u32 {
        hidden
    }
    let records = recorded("m63_two_attributes_count_once", 2, || {
        value(1, 2);
        block_on(later(1));
    });
    assert_eq!(endings(&records), ["value Ok 3", "later Ok -"]);
    assert_eq!(shown(records[0].args.as_ref()), r#"{"shown":2}"#);
    assert_eq!(shown(records[1].args.as_ref()), "-");
}

#[test]
fn m65_options_do_what_they_say() {
    const NAME: &str = "it::macro_behaviour::m65_options_do_what_they_say::renamed";
    fn is_negative(number: &i32) -> bool {
        *number < 0
    }

    #[monitor(name = NAME)]
    fn named() {}
    #[monitor(skip(skipped), redact(redacted))]
    fn hides(skipped: u32, redacted: u32, user_password: &str, api_key: &str, shown: u32) -> u32 {
        skipped + redacted + shown + (user_password.len() + api_key.len()) as u32
    }
    #[monitor(no_result)]
    fn no_result(fails: bool) -> Result<u32, String> {
        if fails { Err(String::from("still shown")) } else { Ok(1) }
    }
    #[monitor(error_if = is_negative)]
    fn path(number: i32) -> i32 {
        number
    }
    #[monitor(error_if = |found| found.is_none())]
    async fn closure(found: Option<u8>) -> Option<u8> {
        found
    }
    #[monitor(error_if = |result| matches!(result, Ok(0)))]
    fn either(result: Result<u8, String>) -> Result<u8, String> {
        result
    }
    #[monitor(error_if = |()| true)]
    fn always() {}
    #[monitor(fields(doubled = number * 2, "http.status" = 200, token = "t0ken"), skip_all)]
    fn fields(number: u32) -> u32 {
        number
    }
    #[monitor(off)]
    fn off() {}
    let records = recorded("m65_options_do_what_they_say", 12, || {
        named();
        hides(1, 2, "hunter2", "key", 3);
        let _ = (no_result(false), no_result(true));
        let _ = (path(1), path(-1), block_on(closure(Some(1))), block_on(closure(None)));
        let _ = (either(Ok(0)), either(Err(String::from("own"))));
        always();
        fields(1);
        off();
    });
    assert_eq!(
        endings(&records),
        [
            "renamed Ok -",
            "hides Ok 16",
            "no_result Ok -",
            "no_result Error still shown",
            "path Ok 1",
            "path Error -1",
            "closure Ok 1",
            "closure Error null",
            "either Error 0",
            "either Error own",
            "always Error null",
            "fields Ok 1",
        ]
    );
    assert_eq!(
        shown(records[1].args.as_ref()),
        r#"{"redacted":"[redacted]","user_password":"[redacted]","api_key":"[redacted]","shown":3}"#
    );
    assert_eq!(shown(records[11].args.as_ref()), "-");
    assert_eq!(shown(records[11].fields.as_ref()), r#"{"doubled":2,"http.status":200,"token":"[redacted]"}"#);
}

#[test]
fn what_an_argument_takes_out_of_a_secret_is_redacted() {
    struct Login {
        user: &'static str,
        password: &'static str,
    }
    struct Password(&'static str);
    #[derive(Debug)]
    struct ApiKey {
        #[expect(dead_code, reason = "read by Debug")]
        value: &'static str,
    }
    #[monitor]
    fn login(Login { user, password: pw }: Login) -> usize {
        user.len() + pw.len()
    }
    #[monitor]
    fn check(Password(p): &Password) -> usize {
        p.len()
    }
    #[monitor]
    async fn later((Password(p), n): (Password, u8)) -> usize {
        p.len() + usize::from(n)
    }
    #[monitor]
    fn named(k: &ApiKey) -> bool {
        std::ptr::eq(k, k)
    }
    let records = recorded("what_an_argument_takes_out_of_a_secret_is_redacted", 4, || {
        login(Login { user: "ada", password: "hunter2" });
        check(&Password("hunter2"));
        block_on(later((Password("hunter2"), 5)));
        named(&ApiKey { value: "hunter2" });
    });
    let args: Vec<String> = records.iter().map(|record| shown(record.args.as_ref()).to_string()).collect();
    assert_eq!(
        args,
        [
            r#"{"user":"ada","pw":"[redacted]"}"#,
            r#"{"p":"[redacted]"}"#,
            r#"{"p":"[redacted]","n":5}"#,
            r#"{"k":"ApiKey { \"[redacted]\" }"}"#,
        ]
    );
}

#[test]
fn results_of_functions_named_after_secrets_and_arguments_shown_as_secrets_are_redacted() {
    #[monitor]
    fn get_token(fails: bool) -> Result<String, String> {
        if fails { Err("no password=hunter2 here".to_owned()) } else { Ok("t0ken".to_owned()) }
    }
    #[monitor]
    async fn load_api_key() -> &'static str {
        "hunter2"
    }
    #[monitor(error_if = |pin| *pin == 0)]
    fn pin(number: u32) -> u32 {
        number
    }
    #[monitor]
    fn verify_password(right: bool) -> bool {
        right
    }
    #[monitor]
    fn has_secret(right: bool) -> Result<bool, String> {
        Ok(right)
    }
    #[monitor(fields(password = p.trim(), size = q.len()))]
    fn login(p: &str, q: &str) -> usize {
        p.len() + q.len()
    }
    #[monitor]
    fn connect(url: &str) -> Result<(), std::io::Error> {
        Err(std::io::Error::other(format!("cannot reach {url}")))
    }
    let name = "results_of_functions_named_after_secrets_and_arguments_shown_as_secrets_are_redacted";
    let records = recorded(name, 9, || {
        let _ = (get_token(false), get_token(true), block_on(load_api_key()));
        let _ = (pin(1234), pin(0), verify_password(true), has_secret(false));
        let _ = (login("hunter2", "q"), connect("postgres://ada:hunter2@db/shop"));
    });
    assert_eq!(
        endings(&records),
        [
            "get_token Ok \"[redacted]\"",
            "get_token Error no password=[redacted] here",
            "load_api_key Ok \"[redacted]\"",
            "pin Ok \"[redacted]\"",
            "pin Error [redacted]",
            "verify_password Ok true",
            "has_secret Ok false",
            "login Ok 8",
            "connect Error cannot reach postgres://ada:[redacted]@db/shop",
        ]
    );
    assert_eq!(shown(records[7].args.as_ref()), r#"{"p":"[redacted]","q":"q"}"#);
    assert_eq!(shown(records[7].fields.as_ref()), r#"{"password":"[redacted]","size":1}"#);
    assert_eq!(shown(records[8].args.as_ref()), r#"{"url":"postgres://ada:[redacted]@db/shop"}"#);
}

#[test]
fn m65_fields_and_arguments_of_a_call_that_is_not_recorded_are_not_evaluated() {
    #[monitor(sample = 0, fields(count = count(evaluated)), skip(evaluated))]
    fn sampled_out(evaluated: &std::cell::Cell<u32>) {
        evaluated.set(evaluated.get() + 10);
    }
    fn count(evaluated: &std::cell::Cell<u32>) -> u32 {
        evaluated.set(evaluated.get() + 1);
        1
    }
    let evaluated = std::cell::Cell::new(0);
    recorded("m65_fields_and_arguments_of_a_call_that_is_not_recorded", 0, || sampled_out(&evaluated));
    assert_eq!(evaluated.get(), 10);
}

macro_rules! leave {
    ($value:expr) => {
        return $value
    };
}

#[test]
fn m70_every_way_out_has_its_outcome() {
    #[monitor]
    fn value(way: u32) -> Result<u32, String> {
        match way {
            0 => return Ok(0),
            1 => return Err(String::from("returned")),
            2 => Err("question mark")?,
            3 => leave!(Err(String::from("hidden"))),
            4 => panic!("panicked"),
            _ => {}
        }
        let inner = || -> Result<u32, String> { Err(String::from("not the function's own")) };
        Ok(inner().unwrap_or(way))
    }
    #[monitor]
    async fn later(way: u32) -> Result<u32, String> {
        match way {
            0 => return Ok(0),
            1 => return Err(String::from("returned")),
            2 => Err("question mark")?,
            3 => leave!(Err(String::from("hidden"))),
            4 => panic!("panicked"),
            _ => {}
        }
        Ok(way)
    }
    #[monitor]
    fn unit(way: u32) {
        match way {
            0 => return,
            1 => panic!("panicked"),
            _ => {}
        }
        assert!(way < 9);
    }
    let calls = recorded("m70_every_way_out_has_its_outcome", 15, || {
        for way in 0..6 {
            let _ = std::panic::catch_unwind(|| value(way));
            let _ = std::panic::catch_unwind(|| block_on(later(way)));
        }
        for way in 0..3 {
            let _ = std::panic::catch_unwind(|| unit(way));
        }
    });
    let endings = |function: &str| -> Vec<String> {
        let found = calls.iter().filter(|call| name(call) == function);
        found.map(|call| ending(call).split(", ").next().unwrap().replacen(function, "", 1)).collect()
    };
    let expected =
        [" Ok 0", " Error returned", " Error question mark", " Error hidden", " Panic panicked", " Ok 5"];
    assert_eq!(endings("value"), expected);
    assert_eq!(endings("later"), expected);
    assert_eq!(endings("unit"), [" Ok -", " Panic panicked", " Ok -"]);
}

#[test]
fn m61_tracked_functions_have_their_outcome_too() {
    #[monitor]
    #[track_caller]
    fn tracked(way: u32) -> Result<u32, String> {
        match way {
            0 => return Ok(0),
            1 => return Err(String::from("returned")),
            2 => Err("question mark")?,
            3 => panic!("panicked"),
            // A return hidden in a macro is seen only by a closure around the body, and a closure would lose the
            // caller's place.
            4 => leave!(Err(String::from("hidden"))),
            _ => {}
        }
        Ok(way)
    }
    let calls = recorded("m61_tracked_functions_have_their_outcome_too", 6, || {
        for way in 0..6 {
            let _ = std::panic::catch_unwind(|| tracked(way));
        }
    });
    let endings: Vec<String> =
        calls.iter().map(|call| ending(call).split(", ").next().unwrap().to_owned()).collect();
    assert_eq!(
        endings,
        [
            "tracked Ok 0",
            "tracked Error returned",
            "tracked Error question mark",
            "tracked Panic panicked",
            "tracked Ok -",
            "tracked Ok 5",
        ]
    );
}

#[test]
fn m71_recursive_calls_are_each_others_parents() {
    #[monitor]
    fn sync(left: u32) -> u32 {
        if left == 0 { 0 } else { sync(left - 1) + 1 }
    }
    #[monitor]
    async fn later(left: u32) -> u32 {
        tokio::task::yield_now().await;
        if left == 0 { 0 } else { Box::pin(later(left - 1)).await + 1 }
    }
    let calls = recorded("m71_recursive_calls_are_each_others_parents", 202, || {
        assert_eq!(sync(100) + block_on(later(100)), 200);
    });
    for function in ["sync", "later"] {
        let calls: Vec<&Record> = calls.iter().filter(|call| name(call) == function).collect();
        let result = |call: &Record| call.result.as_deref().unwrap().parse::<u32>().unwrap();
        for call in &calls {
            let parent = calls.iter().find(|other| Some(other.span_id) == call.parent_id);
            assert_eq!(parent.map_or(101, |parent| result(parent)), result(call) + 1);
            assert_eq!(call.trace_id, calls.iter().find(|call| call.parent_id.is_none()).unwrap().span_id);
        }
    }
}

#[test]
fn m73_futures_dropped_early_are_cancelled_once() {
    #[monitor]
    async fn steps(count: u32) -> u32 {
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
        count
    }
    #[monitor]
    fn boxed(count: u32) -> Pin<Box<dyn Future<Output = u32> + Send>> {
        let count = count + 1;
        Box::pin(async move { steps(count).await })
    }
    let calls = recorded("m73_futures_dropped_early_are_cancelled_once", 6, || {
        let mut context = Context::from_waker(Waker::noop());
        drop(steps(1));
        let mut begun = Box::pin(steps(2));
        assert!(begun.as_mut().poll(&mut context).is_pending());
        drop(begun);
        drop(boxed(3));
        let mut moved = boxed(0);
        assert!(moved.as_mut().poll(&mut context).is_pending());
        assert_eq!(std::thread::spawn(move || block_on(moved)).join().unwrap(), 1);
        block_on(async {
            let task = tokio::spawn(steps(u32::MAX));
            tokio::task::yield_now().await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    });
    let shown: Vec<String> =
        calls.iter().map(|call| format!("{} {}", ending(call), self::shown(call.args.as_ref()))).collect();
    assert_eq!(
        shown,
        [
            r#"steps Cancelled - {"count":1}"#,
            r#"steps Cancelled - {"count":2}"#,
            r#"boxed Cancelled - {"count":3}"#,
            r#"boxed Ok 1 {"count":0}"#,
            r#"steps Ok 1 {"count":1}"#,
            r#"steps Cancelled - {"count":4294967295}"#,
        ]
    );
    assert_eq!(calls[4].parent_id, Some(calls[3].span_id));
}

#[test]
fn m75_calls_in_one_task_do_not_become_parents_in_another() {
    #[monitor]
    async fn pauses(number: u32) -> u32 {
        tokio::task::yield_now().await;
        leaf(number)
    }
    #[monitor]
    fn leaf(number: u32) -> u32 {
        number
    }
    #[monitor]
    async fn both() -> (u32, u32) {
        let (first, second) = tokio::join!(pauses(1), pauses(2));
        let fastest = tokio::select! {
            biased;
            () = async { std::future::pending::<()>().await } => 0,
            number = pauses(3) => number,
        };
        let blocking = tokio::task::spawn_blocking(|| leaf(4)).await.unwrap();
        let late = tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
        assert!(late.is_err());
        (first + second, leaf(fastest + blocking))
    }
    let calls = recorded("m75_calls_in_one_task_do_not_become_parents_in_another", 9, || {
        assert_eq!(block_on(both()), (3, 7));
    });
    let find = |function: &str, number: &str| {
        calls
            .iter()
            .find(|call| name(call) == function && shown(call.args.as_ref()).contains(number))
            .unwrap()
    };
    let both = find("both", "-");
    for number in ["1", "2", "3"] {
        assert_eq!(find("pauses", number).parent_id, Some(both.span_id));
        assert_eq!(find("leaf", number).parent_id, Some(find("pauses", number).span_id));
    }
    assert_eq!(find("leaf", "4").parent_id, None);
    assert_eq!(find("leaf", "7").parent_id, Some(both.span_id));
}

#[test]
fn m81_waiting_and_working_are_told_apart() {
    #[monitor]
    async fn waits() {
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    #[monitor]
    fn works() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let calls = recorded("m81_waiting_and_working_are_told_apart", 2, || {
        block_on(waits());
        works();
    });
    assert!(calls[0].duration_ns >= 40_000_000 && calls[0].busy_ns < calls[0].duration_ns, "{calls:?}");
    assert_eq!(calls[1].busy_ns, calls[1].duration_ns);
}

#[test]
fn a_future_polled_after_its_end_is_one_call_and_fails_as_it_does_alone() {
    #[monitor]
    async fn ends() -> u32 {
        7
    }
    #[expect(clippy::unused_async, reason = "as the one above is written")]
    async fn ends_alone() -> u32 {
        7
    }
    fn poll_twice(future: impl Future<Output = u32>) -> String {
        let mut future = std::pin::pin!(future);
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(future.as_mut().poll(&mut task), std::task::Poll::Ready(7));
        let again = std::panic::AssertUnwindSafe(|| future.as_mut().poll(&mut task));
        let panic = std::panic::catch_unwind(again).unwrap_err();
        (*panic.downcast_ref::<&str>().unwrap()).to_owned()
    }
    let test = "a_future_polled_after_its_end_is_one_call_and_fails_as_it_does_alone";
    let calls = recorded(test, 1, || assert_eq!(poll_twice(ends()), poll_twice(ends_alone())));
    assert_eq!(endings(&calls), ["ends Ok 7"]);
}

#[test]
fn a_panic_passes_unchanged() {
    #[monitor]
    fn sync() -> Result<u8, String> {
        std::panic::panic_any(7_u64)
    }
    #[monitor]
    async fn later() {
        std::panic::panic_any(7_u64)
    }
    let calls = recorded("a_panic_passes_unchanged", 2, || {
        let payload = std::panic::catch_unwind(sync).unwrap_err();
        assert_eq!(payload.downcast_ref::<u64>(), Some(&7));
        let payload = std::panic::catch_unwind(|| block_on(later())).unwrap_err();
        assert_eq!(payload.downcast_ref::<u64>(), Some(&7));
    });
    assert!(calls.iter().all(|call| call.outcome == Outcome::Panic));
}

#[test]
fn a_function_is_placed_where_it_is_written() {
    const LINE: u32 = line!() + 3;
    #[monitor(group = "placed")]
    #[inline(never)]
    fn placed() {}
    recorded("a_function_is_placed_where_it_is_written", 1, placed);
    let store = monitored::health().store.unwrap();
    let store = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (file, found, group): (String, u32, String) = store
        .query_row(
            "SELECT file, line, group_name FROM calls
             WHERE function = 'it::macro_behaviour::a_function_is_placed_where_it_is_written::placed'
             ORDER BY call_id DESC",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert!(file.ends_with("macro_behaviour.rs"), "{file}");
    assert_eq!((found, group.as_str()), (LINE, "placed"));
}

/// Code that may be interrupted by a signal handler, or forked in the middle, takes the locks that a thread's first state needs.
#[test]
fn within_guarded_code_a_thread_gets_no_state_for_a_context_or_a_poll() {
    use monitor_runtime::bridge::run_guarded;
    use monitored::Context as Call;

    #[monitor]
    async fn waiting() -> Call {
        let mut is_first = true;
        std::future::poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) })
            .await;
        Call::current()
    }
    #[monitor]
    fn caller() -> Call {
        Call::current()
    }
    let begin = || {
        let mut future = Box::pin(waiting());
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        future
    };
    let goes_on = |mut future: Pin<Box<dyn Future<Output = Call> + Send>>| {
        std::thread::spawn(move || {
            let none = Call::current();
            let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let guarded = run_guarded(&mut poll).unwrap();
            (guarded, Poll::Ready(none))
        })
        .join()
        .unwrap()
    };
    let test = "within_guarded_code_a_thread_gets_no_state_for_a_context_or_a_poll";
    recorded(test, 2, || {
        let (guarded, none) = goes_on(begin());
        assert_eq!(guarded, none, "a poll");
        let call = caller();
        std::thread::spawn(move || {
            let none = Call::current();
            assert_eq!(run_guarded(|| call.scope(Call::current)), Some(none), "a context");
            assert_eq!(call.scope(Call::current), call);
        })
        .join()
        .unwrap();
    });
}
