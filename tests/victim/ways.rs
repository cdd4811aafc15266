//! Children that are made in every way there is, and libraries that are loaded while the program runs.
#![allow(unsafe_code, reason = "these ways are not in the standard library")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::children::{call, fork, wait};

const WAYS: [&str; 8] = ["fork", "syscall", "clone", "vfork", "spawn", "pre-exec", "daemon", "command"];

/// Makes children in ways that the seed draws, and calls before and after each. Prints what each came to, and the number of the
/// program's own calls.
pub(crate) fn children(seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    // A process whose parent ended is this one's child, so that it can be waited for.
    // SAFETY: the option takes a number.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut own = 0;
    for _ in 0..4 {
        let before = 200 + draw(100);
        call(before);
        own += before;
        if draw(2) == 0 {
            let _ = monitored::flush(super::IN_TIME);
        }
        let (way, calls) = (WAYS[usize::try_from(draw(8)).unwrap_or(0)], 10 + draw(20));
        let is_abrupt = draw(3) == 0;
        println!("{way} {calls} {}", make(way, calls, is_abrupt));
    }
    call(50);
    println!("own {}", own + 50);
}

/// Makes a child that calls this often. Returns its status.
fn make(way: &str, calls: u64, is_abrupt: bool) -> i32 {
    let text = calls.to_string();
    let program = std::env::current_exe().unwrap_or_default();
    let status = |command: &mut Command| command.status().ok().and_then(|status| status.code()).unwrap_or(-1);
    match way {
        "vfork" => vfork(&program.to_string_lossy(), &text),
        "spawn" => posix_spawn(&program.to_string_lossy(), &text),
        "command" => status(Command::new(program).args(["leaves", &text])),
        "pre-exec" => {
            let mut command = Command::new(program);
            command.args(["leaves", &text]);
            let hook = || {
                call(1);
                Ok(())
            };
            // SAFETY: the monitored call is what is tried here.
            status(unsafe { command.pre_exec(hook) })
        }
        "daemon" => daemonize(calls),
        _ => {
            let child = fork(way);
            if child == 0 {
                call(calls);
                if is_abrupt {
                    // SAFETY: ends the child at once.
                    unsafe { libc::_exit(0) };
                }
                std::process::exit(0);
            }
            wait(child)
        }
    }
}

/// The arguments and the environment of a program, as C takes them.
struct Image {
    words: Vec<CString>,
    variables: Vec<CString>,
}

impl Image {
    fn new(program: &str, calls: &str) -> Self {
        let words =
            [program, "leaves", calls].into_iter().filter_map(|word| CString::new(word).ok()).collect();
        let variables =
            std::env::vars().filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok());
        Self { words, variables: variables.collect() }
    }

    fn pointers(texts: &[CString]) -> Vec<*mut c_char> {
        texts.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    }
}

/// Runs a program in a child that borrows this process's memory until then, as `vfork` does.
fn vfork(program: &str, calls: &str) -> i32 {
    extern "C" fn run(image: *mut c_void) -> c_int {
        // SAFETY: the parent stands still until this child has become the program, so the pointers are valid.
        let (words, variables) = unsafe { &*image.cast::<(Vec<*mut c_char>, Vec<*mut c_char>)>() };
        // SAFETY: both lists end with a null pointer.
        unsafe { libc::execve(words[0], words.as_ptr().cast(), variables.as_ptr().cast()) };
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(127) }
    }
    let image = Image::new(program, calls);
    let mut pointers = (Image::pointers(&image.words), Image::pointers(&image.variables));
    let mut stack = vec![0_u128; 4096];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is the child's alone, and this thread stands still until it is no longer used.
    let child = unsafe { libc::clone(run, top.cast(), flags, (&raw mut pointers).cast()) };
    wait(child)
}

fn posix_spawn(program: &str, calls: &str) -> i32 {
    let image = Image::new(program, calls);
    let (words, variables) = (Image::pointers(&image.words), Image::pointers(&image.variables));
    let mut child = -1;
    // SAFETY: both lists end with a null pointer, and the texts outlive the call.
    let failed = unsafe {
        libc::posix_spawn(
            &raw mut child,
            words[0],
            std::ptr::null(),
            std::ptr::null(),
            words.as_ptr(),
            variables.as_ptr(),
        )
    };
    if failed == 0 { wait(child) } else { failed }
}

/// Leaves a grandchild behind in a session of its own, without a descriptor, as daemons do, and waits for it.
fn daemonize(calls: u64) -> i32 {
    let child = fork("fork");
    if child == 0 {
        // SAFETY: the call takes nothing.
        unsafe { libc::setsid() };
        if fork("fork") == 0 {
            for descriptor in 0..256 {
                // SAFETY: this is what daemons do; nothing here uses a descriptor afterwards.
                unsafe { libc::close(descriptor) };
            }
            call(calls);
            std::process::exit(0);
        }
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    wait(child) + wait(-1)
}

/// Loads the libraries whose paths `PLUGINS` names, and calls a monitored function of this program and those of each library in
/// turn: this often here, twice as often in the first library, three times as often in the second.
pub(crate) fn plugins(number: u64) {
    type Function = extern "C" fn(u64) -> u64;
    let find = |library: *mut c_void, name: &std::ffi::CStr| -> Option<Function> {
        // SAFETY: the library is open, and the name ends with a zero.
        let found = unsafe { libc::dlsym(library, name.as_ptr()) };
        // SAFETY: a function of that name takes a number, or ignores it, and returns one.
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, Function>(found) })
    };
    let paths = std::env::var("PLUGINS").unwrap_or_default();
    let libraries: Vec<(Function, Function)> = paths
        .split(':')
        .filter_map(|path| {
            let path = CString::new(path).ok()?;
            // SAFETY: the library's constructors are those of an ordinary Rust library.
            let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            Some((find(library, c"plugin_work")?, find(library, c"plugin_flush")?))
        })
        .collect();
    let mut sum = 0;
    for _ in 0..number / 10 {
        sum += call(10);
        for (at, (work, _)) in (2..).zip(&libraries) {
            sum += work(10 * at);
        }
    }
    let flushed: u64 = libraries.iter().map(|(_, flush)| flush(0)).sum();
    println!("{sum} {flushed} {:?}", monitored::flush(super::IN_TIME));
}
