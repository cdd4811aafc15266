//! `monitor serve`: the dashboard, a server that shows the store as pages.
//!
//! The server takes an address and stores; it gives pages, the same as JSON, and the statement behind each. It reads
//! stores and the ring files of running processes, and runs nothing in the programs that are recorded. It recovers what
//! dead processes left for a store, as every command does, and writes to the control tables only with `--allow-writes`.
//!
//! The files, in the order in which a request passes them: `listen` (sockets, limits of connections), `guard` (host,
//! token, headers), `app` (what all requests share, and the queue of queries), `address` (parameters and links),
//! `command` (the same as a page in a terminal), `pages` (one file each), `table`, `chart` and `text` (their parts),
//! `layout` (the frame around a page), `live` (events that make a page refresh), `probes` (for machines), `change`
//! (writes), `assets`.
//!
//! The pages live in this crate and not in one of their own, because they present what the model gives, and the model
//! is part of the command. No page holds SQL: the model does.
#![allow(
    clippy::similar_names,
    reason = "a page and its pages, callers and callees are the words of the subject"
)]

mod address;
mod app;
mod assets;
mod change;
mod chart;
mod command;
mod guard;
mod layout;
mod listen;
mod live;
mod pages;
mod probes;
mod table;
mod text;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::app::App;
use self::guard::Guard;
use self::listen::Listener;
use super::print_failures;
use crate::arguments::{Common, Listen, ServeOptions};
use crate::{find, store, terminal};

/// The longest wait for queries that run when the server ends.
const END_WAIT: Duration = Duration::from_millis(500);

/// Serves pages until a signal ends the process.
pub(super) fn run(common: &Common, options: &ServeOptions) -> Result<()> {
    let paths = match common.db.as_slice() {
        [] | [_] => vec![find::find_store(common.store_path())?],
        several => several.iter().map(|path| find::find_store(Some(path.clone()))).collect::<Result<_>>()?,
    };
    serve(select_possible(paths)?, options)
}

/// Returns the paths that are stores or can become one, and prints a note about each other path; fails if there is none.
fn select_possible(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let (mut possible, mut failures) = (Vec::new(), Vec::new());
    for path in paths {
        match store::require_possible(&path) {
            Ok(()) => possible.push(path),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if possible.is_empty() {
        bail!(failures.join("; "));
    }
    print_failures(&failures);
    Ok(possible)
}

/// Serves pages over these stores until a signal ends the process.
pub(super) fn serve(paths: Vec<PathBuf>, options: &ServeOptions) -> Result<()> {
    let token = choose_token(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(app::QUERIES_MAX + probes::PROBES_MAX + 2)
        .build()
        .context("cannot start the server")?;
    let outcome = runtime.block_on(async {
        let mut ends = Ends::new()?;
        let listener = Listener::open(&options.listen).await?;
        let guard = Guard::new(&listener, options, token)?;
        let address = guard.first_address();
        let app = Arc::new(App::new(paths, options, guard));
        announce(&app, &address, &options.listen, &listener)?;
        if options.open {
            open_in_browser(&address);
        }
        tokio::select! {
            () = listen::accept(&listener, app::router(&app)) => {}
            () = ends.wait() => {}
        }
        Ok(())
    });
    runtime.shutdown_timeout(END_WAIT);
    outcome
}

/// Returns the token that requests have to carry; `None` if they need none.
fn choose_token(options: &ServeOptions) -> Result<Option<String>> {
    let is_loopback = match &options.listen {
        Listen::Tcp(address) => address.ip().is_loopback(),
        Listen::Unix(_) => true,
    };
    if !is_loopback && options.token_file.is_none() {
        bail!(
            "{} can be reached by other computers: give a token with --token-file FILE, and put a proxy with TLS before \
             it, or listen on 127.0.0.1",
            options.listen
        );
    }
    let Some(path) = &options.token_file else {
        return if options.no_token { Ok(None) } else { guard::draw_token().map(Some) };
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token in {}", path.display()))?;
    let token = text.trim();
    let is_plain = token.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
    if token.len() < guard::TOKEN_CHARACTERS_MIN || !is_plain {
        bail!(
            "the token in {} is not usable: it has at least {} characters, each a letter, a digit or one of -._~",
            path.display(),
            guard::TOKEN_CHARACTERS_MIN
        );
    }
    Ok(Some(token.to_owned()))
}

/// Prints the one line that says where the pages are.
fn announce(app: &App, address: &str, asked: &Listen, listener: &Listener) -> Result<()> {
    let names = app.stores().iter().map(|served| {
        let path = &served.path_at_start;
        let absence = store::describe_absence(path).map(|absence| format!(", {absence}"));
        format!("{}{}", path.display(), absence.unwrap_or_default())
    });
    let names: Vec<_> = names.collect();
    let taken = match (asked, listener.port()) {
        (Listen::Tcp(asked), Some(port)) if asked.port() != 0 && asked.port() != port => {
            format!("port {} is taken; ", asked.port())
        }
        _ => String::new(),
    };
    let line = format!("{address}  ({taken}reading {}; Ctrl-C ends)", names.join(", "));
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", terminal::escape(&line))?;
    Ok(out.flush()?)
}

/// Opens the address in the browser. A system without one shows a note, because the address is printed anyway.
fn open_in_browser(address: &str) {
    let program = terminal::BROWSER_OPENER;
    let quiet = || Stdio::null();
    let started = Command::new(program).arg(address).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    match started {
        // The child is waited for on a thread of its own, so that it does not stay as a zombie.
        Ok(mut child) => {
            let _ = std::thread::Builder::new().spawn(move || child.wait());
        }
        Err(error) => {
            terminal::print_note(&format!("cannot start `{program}` ({error}): open the address yourself"));
        }
    }
}

/// The signals that end the server.
struct Ends {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    /// Waits for Ctrl-C or a request to terminate.
    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
