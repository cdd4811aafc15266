//! A log line that the program emits, within a call or outside of calls.
//!
//! Takes a place and a closure that writes the texts of the line. Gives a record in the thread's ring, or a count:
//! every line has a record of its own, is counted among those that share a row, or is counted as dropped. User code
//! runs in the sandbox, before anything is written and with no lock held; a line that this code emits is dropped. The
//! file does not know loggers.

use std::sync::atomic::Ordering;

use super::decision::take_state;
use crate::capture::{LINE_BYTES, SayLine, capture_line};
use crate::platform::clock::{counter, second_at};
use crate::platform::reentrancy::is_ours;
use crate::record::{HEADER_WORDS, LogLevel, LogLine, NOT_KEPT, Word};
use crate::ring::frames;
use crate::ring::spsc::Push;
use crate::thread::home::Home;
use crate::thread::local::{self, Lease};
use crate::thread::log_places::{KnownPlace, LogPlace};
use crate::thread::scratch::value_limits;
use crate::thread::state::{INTERLEAVED, NO_SPAN, SUPPRESSED, ThreadState, WRITING};

/// Records a log line of the calling thread. `home` belongs to the recorder of this process.
pub(crate) fn note(home: &'static Home, place: LogPlace<'_>, say: SayLine<'_>) {
    if !home.log.is_open() || is_ours() {
        return;
    }
    let Some((thread, lease)) = local::current().map(|thread| (thread, Lease::Thread)).or_else(take_state)
    else {
        return home.log.count_dropped(1);
    };
    note_on(thread, place, say);
    if lease == Lease::Call {
        local::release(thread);
    }
}

fn note_on(thread: &'static ThreadState, place: LogPlace<'_>, say: SayLine<'_>) {
    let home = thread.home;
    let current = thread.current.load(Ordering::Relaxed);
    if matches!(current, SUPPRESSED | WRITING) {
        return home.log.count_dropped(1);
    }
    let Some(known) = home.log.find(place, (home.accountant, &home.memory, &home.metadata)) else {
        return home.log.count_dropped(1);
    };
    let at = counter();
    if known.admits(second_at(at)) {
        write(thread, current, at, known, say);
    }
}

/// Writes the record of a line.
fn write(thread: &'static ThreadState, current: u64, at: u64, known: &KnownPlace, say: SayLine<'_>) {
    let mut memory = [0; LINE_BYTES];
    let texts = capture_line(&mut memory, value_limits(), say);
    thread.add_capture_panics(u32::from(texts.has_panicked));
    let span = if current == INTERLEAVED { NO_SPAN } else { current & !NOT_KEPT };
    let line = LogLine {
        place: known.number,
        level: known.level,
        at,
        lines: 1 + known.take_folded(),
        span,
        trace: if span == NO_SPAN { NO_SPAN } else { thread.trace.load(Ordering::Relaxed) },
        site: find_site(thread, span),
        has_body: true,
        body_bytes: texts.body_bytes,
        fields_bytes: texts.fields_bytes,
    };
    let words = LogLine::count_words(line.body_bytes) + LogLine::count_words(line.fields_bytes);
    let values = memory.as_chunks().0.get(..words).unwrap_or_default();
    // While calls of this thread share rows, the calls under way keep rows of their own, because the line names the
    // innermost of them. A call that is sampled out has no row all the same.
    thread.keep_rows_under_way();
    thread.suppress();
    publish(thread, &line, values);
    thread.restore(current);
}

/// Returns the function of the call with this span; 0 if the call did not begin on this thread.
fn find_site(thread: &ThreadState, span: u64) -> u32 {
    let innermost = if span == NO_SPAN { None } else { frames::innermost(thread.page.words).next() };
    innermost.filter(|(_, innermost)| *innermost == span).map_or(0, |(site, _)| site)
}

/// Writes a record into the thread's ring. A line of the level `error` for which the ring has no room is sent past the
/// ring, as failed calls are.
fn publish(thread: &'static ThreadState, line: &LogLine, values: &[Word]) {
    let header = line.encode();
    if let Some(room) = thread.ring.room(values.len()) {
        return room.write(header, values);
    }
    let push = thread.push(&header, values);
    thread.note_record();
    if push != Push::Written || thread.is_last_ring_nearly_full() {
        thread.home.wake();
    }
    if push == Push::Full && !(line.level == LogLevel::Error && send(thread, &header, values)) {
        thread.home.log.count_dropped(line.lines);
    }
}

fn send(thread: &ThreadState, header: &[u64; HEADER_WORDS], values: &[Word]) -> bool {
    thread.home.overflow.send(thread.thread_id.load(Ordering::Relaxed), header, values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fmt::{self, Display};

    use super::*;
    use crate::accountant::Accountant;
    use crate::call::entered::RUNTIME;
    use crate::capture::{FieldValue, LineWriter, to_json_value, to_text};
    use crate::config::CaptureMode;
    use crate::private::{Call, Slot};
    use crate::record::{Record, decode, unpack};
    use crate::ring::memory::Memory;
    use crate::sampling::Source;
    use crate::site::{CallSite, Description};
    use crate::thread::pool::ThreadPool;

    const PLACE: LogPlace<'static> =
        LogPlace { level: LogLevel::Warn, target: "shop::pay", file: Some("src/pay.rs"), line: Some(7) };

    fn rings() -> &'static ThreadPool {
        let (overflow, taken) = crossbeam_channel::unbounded();
        // The channel stays open.
        std::mem::forget(taken);
        let rings = ThreadPool::new(
            Accountant::boundless(),
            1 << 40,
            CaptureMode::All,
            overflow,
            Memory::on_heap(None),
        );
        Box::leak(Box::new(rings))
    }

    /// Runs a closure on a thread of these rings. Returns the lines that it emitted, each with its body and its fields.
    fn lines(rings: &'static ThreadPool, say: impl FnOnce() + Send) -> Vec<(LogLine, String, String)> {
        let body = || {
            let (state, _) = rings.acquire().unwrap();
            say();
            local::release(state);
            state
        };
        let state = std::thread::scope(|scope| scope.spawn(body).join().unwrap());
        let mut words = Vec::new();
        state.rings().for_each(|(_, ring)| ring.drain(|_, piece| piece.append_to(&mut words)));
        let (mut at, mut lines) = (0, Vec::new());
        while let Some((record, used)) = decode(&words[at..]) {
            if let Record::Line(line, body, fields) = record {
                let (mut of_body, mut of_fields) = (Vec::new(), Vec::new());
                unpack(body, line.body_bytes.into(), &mut of_body);
                unpack(fields, line.fields_bytes.into(), &mut of_fields);
                lines.push((line, to_text(&of_body), to_json_value(&of_fields)));
            }
            at += used;
        }
        assert_eq!(at, words.len());
        lines
    }

    fn say(rings: &'static ThreadPool, mut say: impl FnMut(&mut LineWriter<'_, '_>)) {
        note(&rings.home, PLACE, &mut say);
    }

    /// A `Display` by a closure.
    struct Shows<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result>(F);

    impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Display for Shows<F> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.0)(formatter)
        }
    }

    #[test]
    fn a_line_carries_body_fields_and_the_call_that_says_it() {
        static ABOUT: Description = Description::new(|| "shop::pay", "src/pay.rs", 1, &[], &[]);
        let site: &'static CallSite = Box::leak(Box::new(CallSite::new(&ABOUT)));
        site.register();
        site.request(1.0, Source::Default);
        let rings = rings();
        let said = lines(rings, || {
            say(rings, |line| line.body(format_args!("outside")));
            let mut slot = Slot::empty();
            let mut call = Call::<RUNTIME>::enter(&mut slot, site);
            say(rings, |line| {
                line.field("attempt", FieldValue::U64(3));
                line.body(format_args!("attempt {} failed", 3));
                line.field("password", FieldValue::Text("hunter2"));
                line.field("why", FieldValue::Display(&"refused"));
                line.field("list", FieldValue::Debug(&[1, 2]));
                line.field("nan", FieldValue::F64(f64::NAN));
            });
            call.ok();
        });
        let [(outside, text, none), (within, body, fields)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((outside.span, outside.trace, outside.site, outside.fields_bytes), (0, 0, 0, 0));
        assert_eq!((&**text, &**none, outside.lines), ("outside", "\"[truncated]\"", 1));
        assert!(within.span != 0 && within.trace == within.span && within.site == site.id());
        assert_eq!(body, "attempt 3 failed");
        let expected = r#"{"attempt":3,"password":"[redacted]","why":"refused","list":"[1, 2]","nan":"NaN"}"#;
        assert_eq!(fields, expected);
    }

    #[test]
    fn hostile_texts_are_bounded_and_hurt_nobody() {
        let rings = rings();
        let said = lines(rings, || {
            say(rings, |line| {
                line.body(format_args!("{}", "ö\n\u{1b}[31m".repeat(10_000)));
                for number in 0..10_000 {
                    line.field(&format!("a.\"b {number}"), FieldValue::Text(&"x".repeat(5000)));
                }
            });
            let panics = Shows(|formatter| {
                formatter.write_str("half")?;
                panic!("in Display")
            });
            say(rings, |line| line.body(format_args!("{panics} of it")));
            let endless = Shows(|formatter| {
                loop {
                    let _ = formatter.write_str("more ");
                }
            });
            say(rings, |line| line.field("endless", FieldValue::Display(&endless)));
            let says = Shows(|formatter| {
                say(rings, |line| line.body(format_args!("within")));
                formatter.write_str("around")
            });
            say(rings, |line| line.body(format_args!("{says}")));
        });
        let [(_, long, many), (_, half, _), (_, _, endless), (_, around, _)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(long.ends_with("truncated]") && long.len() < 1100, "{long}");
        assert!(many.len() < 1100 && serde_json::from_str::<serde_json::Value>(many).unwrap().is_object());
        assert_eq!((&**half, &**around), ("half", "around"));
        assert!(endless.starts_with(r#"{"endless":"more more "#), "{endless}");
        // The dropped line is the one that was emitted while another line was written.
        assert_eq!(rings.home.log.dropped(), 1);
    }

    #[test]
    fn every_line_has_a_record_or_is_counted_in_one_or_as_dropped() {
        const LINES: u32 = 20_000;
        let rings = rings();
        let said = lines(rings, || {
            for number in 0..LINES {
                // Lines of many places fill the ring.
                let place = LogPlace { line: Some(number % 300), ..PLACE };
                note(&rings.home, place, &mut |line| line.body(format_args!("line {number}")));
            }
        });
        let stored: u64 = said.iter().map(|(line, ..)| line.lines).sum();
        let folded: u64 = rings.home.log.take_folded(None).map(|(_, lines)| lines).sum();
        let dropped = rings.home.log.dropped();
        assert_eq!(stored + folded + dropped, u64::from(LINES));
        assert!(dropped > 0 && said.len() > 1000, "{dropped} {}", said.len());
        let numbers: Vec<u32> = said.iter().map(|(_, body, _)| body[5..].parse().unwrap()).collect();
        assert!(numbers.is_sorted());
    }

    #[test]
    fn an_error_that_finds_no_room_goes_past_the_ring() {
        let rings = rings();
        let place = |number, level| LogPlace { line: Some(number), level, ..PLACE };
        lines(rings, || {
            let say = |number, level| {
                note(&rings.home, place(number, level), &mut |line| {
                    line.body(format_args!("{}", "x".repeat(900)));
                });
            };
            (0..4000).for_each(|number| say(number, LogLevel::Warn));
            let dropped = rings.home.log.dropped();
            assert!(dropped > 0 && rings.home.overflow.bytes() == 0);
            say(1, LogLevel::Error);
            assert_eq!(rings.home.log.dropped(), dropped);
            assert!(rings.home.overflow.bytes() > 900);
        });
    }

    #[test]
    fn nothing_is_said_once_recording_has_ended() {
        let rings = rings();
        let said = lines(rings, || {
            rings.home.log.close();
            say(rings, |line| line.body(format_args!("late")));
        });
        assert!(said.is_empty() && rings.home.log.dropped() == 0);
    }
}
