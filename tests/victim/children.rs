//! Children of a fork that go on with the program, forked in several ways.
#![allow(unsafe_code, reason = "fork is not in the standard library")]

use std::hint::black_box;
use std::time::Duration;

use monitored::monitor;

#[monitor]
fn leaf(number: u64) -> u64 {
    black_box(number) + 1
}

/// Makes a child in the way named, while the call is under way.
#[monitor(skip_all, no_result)]
fn fork_within(how: &str) -> libc::pid_t {
    fork(how)
}

pub(crate) fn fork(how: &str) -> libc::pid_t {
    let number = |child: libc::c_long| libc::pid_t::try_from(child).unwrap_or(-1);
    match how {
        // SAFETY: the children call functions of this program only, and exit.
        "fork" => unsafe { libc::fork() },
        // SAFETY: as above.
        "syscall" => number(unsafe { libc::syscall(libc::SYS_fork) }),
        // SAFETY: as above. No flags but the signal of its end: what `_Fork` does.
        _ => number(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }),
    }
}

pub(crate) fn wait(child: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: `status` is valid for writing.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    status
}

pub(crate) fn call(times: u64) -> u64 {
    (0..times).map(leaf).sum()
}

/// Makes 30 calls, a child that makes 20 and in turn a child that makes 10, and 30 calls more. Then the same once more with
/// a child that is made within a monitored call.
pub(crate) fn generations(how: &str) {
    call(30);
    for fork in [fork, fork_within] {
        // A child that is made past the C library records only if the recorder is at rest.
        let _ = monitored::flush(super::IN_TIME);
        let child = fork(how);
        if child == 0 {
            call(20);
            let grandchild = fork(how);
            if grandchild == 0 {
                call(10);
                std::process::exit(0);
            }
            std::process::exit(wait(grandchild));
        }
        println!("{}", wait(child));
    }
    call(30);
    println!("{:?}", monitored::flush(super::IN_TIME));
}

/// Forks this many children at once, as a server does before it serves. Each makes 20 calls.
pub(crate) fn prefork(number: u64) {
    call(1);
    let make = |_| match fork("fork") {
        0 => {
            call(20);
            std::process::exit(0);
        }
        child => child,
    };
    let children: Vec<_> = (0..number).map(make).collect();
    println!("{}", children.into_iter().map(wait).sum::<i32>());
}

/// Forks while another thread makes the first monitored call of the program, again and again, until that call has ended.
/// Each child makes a call.
pub(crate) fn fork_at_start(how: &str) {
    let first = std::thread::spawn(|| call(1));
    let mut statuses = 0;
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let is_over = first.is_finished();
        let child = fork(how);
        if child == 0 {
            call(1);
            std::process::exit(0);
        }
        statuses += wait(child);
        if is_over {
            break;
        }
    }
    println!("{} {statuses}", first.join().unwrap_or_default());
}

/// Makes this many children one after the other that each make 20 calls and end at once, without any handler of exit, and
/// then waits until its ring file is the only one left, or for a minute.
pub(crate) fn abrupt_children(number: u64) {
    call(1);
    for _ in 0..number {
        let child = fork("fork");
        if child == 0 {
            call(20);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        wait(child);
    }
    let folder = std::env::var_os("MONITOR_RINGS").unwrap_or_default();
    let files = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let most = files();
    super::wait_until(|| {
        call(1);
        std::thread::sleep(Duration::from_millis(100));
        files() <= 1
    });
    println!("{}", files());
    eprintln!("{most} files at most");
}
