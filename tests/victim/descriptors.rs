//! A program that closes descriptors that it did not open, or puts files of its own in their place, as daemons do.
#![allow(unsafe_code, reason = "closing another's descriptor has no safe counterpart")]

use std::fs::OpenOptions;
use std::os::fd::IntoRawFd as _;
use std::path::PathBuf;

use monitored::monitor;

#[monitor]
fn count(number: u64) -> u64 {
    std::hint::black_box(number) + 1
}

/// The number of times that the program closes descriptors.
const ROUNDS: u64 = 4;
/// The number of calls before each time, and after the last.
const CALLS: u64 = 50;
/// The number of the program's own files.
const FILES: usize = 4;
/// The first descriptor after those that the program closes.
const FIRST_KEPT: i32 = 64;

/// Closes or replaces descriptors again and again, in ways that the seed chooses, and calls on. At the end its files must
/// hold what it wrote, and nothing else.
pub(crate) fn lose_descriptors(seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let folder = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let path = |file: usize| folder.join(format!("own-{file}"));
    let mut expected = vec![String::new(); FILES];
    let mut sum = 0;
    for round in 0..=ROUNDS {
        sum += (0..CALLS).map(count).sum::<u64>();
        println!("{:?}", monitored::flush(super::IN_TIME));
        if round == ROUNDS {
            break;
        }
        let how = if round == 0 { seed % 3 } else { draw(3) };
        for number in 3..FIRST_KEPT {
            if how == 0 || how == 2 && draw(2) == 0 {
                // SAFETY: no value of this program owns a descriptor.
                unsafe { libc::close(number) };
            }
        }
        for (file, expected) in expected.iter_mut().enumerate() {
            let Ok(opened) = OpenOptions::new().append(true).create(true).open(path(file)) else { continue };
            let opened = opened.into_raw_fd();
            let line = format!("line {round} of file {file}\n");
            // SAFETY: the descriptor was opened above, and the text is valid for reading.
            unsafe { libc::write(opened, line.as_ptr().cast(), line.len()) };
            expected.push_str(&line);
            for number in 3..FIRST_KEPT {
                // SAFETY: the descriptors belong to no value of this program.
                let is_open = unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0;
                if how != 0 && is_open && number != opened && draw(3) == 0 {
                    // SAFETY: as above.
                    unsafe { libc::dup2(opened, number) };
                }
            }
        }
    }
    for (file, expected) in expected.iter().enumerate() {
        let found = std::fs::read(path(file)).unwrap_or_default();
        println!("file {file}: {}", if found == expected.as_bytes() { "as written" } else { "OVERWRITTEN" });
    }
    println!("{sum}");
}

/// Closes standard error after the first call, opens a file that gets its number, and has the recorder say something. The
/// file must hold what the program wrote.
pub(crate) fn lose_stderr(number: u64) {
    let mut sum = count(0);
    // SAFETY: nothing of this program writes to standard error.
    unsafe { libc::close(2) };
    let path = PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join("own");
    let Ok(own) = OpenOptions::new().write(true).create(true).truncate(true).open(&path) else { return };
    assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&own), 2);
    let _ = std::io::Write::write_all(&mut &own, b"the program's own\n");
    let _ = monitored::flush(super::IN_TIME);
    // The recorder says that the store has gone.
    let store = PathBuf::from(std::env::var_os("MONITOR_DB").unwrap_or_default());
    let _ = std::fs::rename(&store, store.with_file_name("moved.db"));
    sum += (1..number).map(count).sum::<u64>();
    let _ = monitored::flush(super::IN_TIME);
    let found = std::fs::read(&path).unwrap_or_default();
    println!("{sum} {}", if found == b"the program's own\n" { "as written" } else { "OVERWRITTEN" });
}
