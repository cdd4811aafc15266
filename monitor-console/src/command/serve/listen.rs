//! The sockets of the server: the search for a free port, and the limits of a connection.
//!
//! Takes an address and a router; gives the router requests whose headers are bounded in size, number and time. The
//! file does not know what a request asks for. A client that is slow or idle holds one of a bounded number of
//! connections for a bounded time.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

use crate::arguments::Listen;

/// The ports that are tried after the one that was named.
const PORTS_TRIED: u16 = 20;
/// The most connections at once. A browser opens at most six; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;
/// The most bytes of a request's head: the smallest limit that hyper accepts.
const HEAD_BYTES_MAX: usize = 8192;
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The longest time for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest time in which a client reads nothing of an answer that waits for it.
const UNREAD_TIME: Duration = Duration::from_secs(30);
/// The time after which a connection takes no further request.
const CONNECTION_TIME: Duration = Duration::from_secs(75);
/// The time after which a connection ends whatever it does. A page whose events end connects anew.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(3600);
/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that takes connections.
pub(super) enum Listener {
    /// A socket of TCP and its address.
    Tcp(TcpListener, SocketAddr),
    /// A socket in the file system, which is removed at the end.
    #[cfg(unix)]
    Unix(tokio::net::UnixListener, PathBuf),
}

impl Listener {
    /// Opens the socket. If the port is taken, one of the next twenty is used.
    pub(super) async fn open(asked: &Listen) -> Result<Self> {
        match asked {
            Listen::Tcp(address) => Self::open_tcp(*address).await,
            Listen::Unix(path) => Self::open_unix(path.clone()),
        }
    }

    async fn open_tcp(asked: SocketAddr) -> Result<Self> {
        let last = if asked.port() == 0 { 0 } else { asked.port().saturating_add(PORTS_TRIED) };
        let mut first_error = None;
        for port in asked.port()..=last {
            match TcpListener::bind(SocketAddr::new(asked.ip(), port)).await {
                Ok(listener) => {
                    let address = listener.local_addr().context("cannot read the address of the socket")?;
                    return Ok(Self::Tcp(listener, address));
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    first_error.get_or_insert(error);
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot listen on {}:{port}", asked.ip()));
                }
            }
        }
        let error = first_error.map_or_else(|| anyhow!("no port was tried"), anyhow::Error::from);
        Err(error.context(format!(
            "the ports {} to {last} of {} are taken: name another with --listen ADDRESS",
            asked.port(),
            asked.ip()
        )))
    }

    #[cfg(unix)]
    fn open_unix(path: PathBuf) -> Result<Self> {
        use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
        // A socket that nobody listens on is left from a server that was killed.
        let is_socket = std::fs::symlink_metadata(&path).is_ok_and(|data| data.file_type().is_socket());
        if is_socket && std::os::unix::net::UnixStream::connect(&path).is_err() {
            let _ = std::fs::remove_file(&path);
        }
        let listener = tokio::net::UnixListener::bind(&path)
            .with_context(|| format!("cannot listen on the socket {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot keep others from the socket {}", path.display()))?;
        Ok(Self::Unix(listener, path))
    }

    #[cfg(not(unix))]
    #[allow(clippy::needless_pass_by_value, reason = "the other systems keep the path")]
    fn open_unix(path: PathBuf) -> Result<Self> {
        Err(anyhow!("this system has no sockets such as {}", path.display()))
    }

    /// Returns the address of TCP; `None` for a socket in the file system.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(..) => None,
        }
    }

    /// Returns the port; `None` for a socket in the file system.
    pub(super) fn port(&self) -> Option<u16> {
        self.address().map(|address| address.port())
    }
}

#[cfg(unix)]
impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Takes connections for ever, each on a task of its own.
pub(super) async fn accept(listener: &Listener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener {
            Listener::Tcp(listener, _) => match listener.accept().await {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(serve(stream, router.clone(), permit));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            #[cfg(unix)]
            Listener::Unix(listener, _) => match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(serve(stream, router.clone(), permit));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

/// Serves the requests of one connection. hyper answers 431 to a head that is too large. A client that sends its head
/// too slowly, or that does not read its answer, loses the connection without an answer.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    permit: OwnedSemaphorePermit,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNREAD_TIME));
    let stream = Box::pin(stream);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut connection =
        std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    // The failure of a connection concerns its client alone, so it is ignored.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = tokio::time::sleep(CONNECTION_TIME) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(CONNECTION_TIME_MAX, connection).await;
        }
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    const ANSWER_BYTES: usize = 1 << 20;

    /// Starts a connection whose answers are larger than the buffer between its two ends.
    async fn connect() -> (tokio::io::DuplexStream, tokio::task::JoinHandle<()>) {
        let router = Router::new().route("/", get(async || "x".repeat(ANSWER_BYTES)));
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let task = tokio::spawn(serve(server, router, permit));
        client.write_all(REQUEST).await.unwrap();
        (client, task)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_its_connection() {
        let (client, task) = connect().await;
        let began = Instant::now();
        tokio::time::timeout(CONNECTION_TIME_MAX, task).await.unwrap().unwrap();
        let waited = began.elapsed();
        assert!((UNREAD_TIME..UNREAD_TIME + HEAD_TIME).contains(&waited), "{waited:?}");
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_gets_its_whole_answer() {
        let (mut client, _task) = connect().await;
        let (mut read, mut part) = (0, vec![0_u8; 64 << 10]);
        while read < ANSWER_BYTES {
            // Each pause is within the bound, and all of them together are far beyond it.
            tokio::time::sleep(UNREAD_TIME / 2).await;
            let got = client.read(&mut part).await.unwrap();
            assert!(got > 0, "the connection ended after {read} bytes");
            read += got;
        }
    }
}
