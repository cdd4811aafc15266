//! The arguments of the dashboard.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::units;

/// The port of the dashboard, if it is free.
const PORT_DEFAULT: u16 = 4820;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  monitor serve --open                     the store written last, in the browser
  monitor serve --db shop.db --db jobs.db  the pages let choose between them
  monitor serve --allow-writes             rates, rules, breakers and guards can be changed on the pages
  monitor serve --listen 0.0.0.0:4820 --host box.example --token-file /etc/monitor-token

One line is printed: the address, with a token that is new at each start. The first visit turns the token into a cookie. \
If the port is taken, the next free one of the twenty behind it is used. The server reads stores and ring files; it runs \
nothing in the programs that are recorded. TLS is left to a proxy.

Every page has its data as JSON under the same address with `.json`, and the statement behind it. Scripts send the token \
as `Authorization: Bearer TOKEN`. Ends on Ctrl-C.")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) options: ServeOptions,
}

/// The options of the server, which `monitor demo --serve` uses with their defaults.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ServeOptions {
    /// Address to listen on: IP:PORT, a PORT of 127.0.0.1, or unix:PATH
    #[arg(long, value_name = "ADDRESS", default_value_t)]
    pub(crate) listen: Listen,
    /// Open the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Let the pages set sampling rates and rules of alerts, and hold breakers and guards
    #[arg(long)]
    pub(crate) allow_writes: bool,
    /// Ask for no token: every user of this computer can read the stores
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) no_token: bool,
    /// File with the token, at least 16 characters; required unless the address is a loopback one
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Ask for the token at /metrics too, which answers without it on a loopback address unless --host, --base-path or
    /// --token-file tells of a proxy
    #[arg(long)]
    pub(crate) token_metrics: bool,
    /// Another name under which the server is reached, as the browser sends it, such as box.example or box.example:8443;
    /// may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Path before all addresses, such as /monitor behind a proxy
    #[arg(long, value_name = "PATH", default_value = "", value_parser = parse_base_path)]
    pub(crate) base_path: String,
    /// Pause between two looks for new data while a page is open
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_refresh)]
    pub(crate) refresh: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            open: false,
            allow_writes: false,
            no_token: false,
            token_file: None,
            token_metrics: false,
            host: Vec::new(),
            base_path: String::new(),
            refresh: Duration::from_secs(2),
        }
    }
}

/// The address on which the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// An address and a port of TCP; port 0 stands for any free one.
    Tcp(SocketAddr),
    /// The path of a socket.
    Unix(PathBuf),
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], PORT_DEFAULT)))
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let is_usable = cfg!(unix) && !path.is_empty();
            return if is_usable {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err("unix: takes the path of a socket, on Unix systems".to_owned())
            };
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        let text = text.replacen("localhost:", "127.0.0.1:", 1);
        text.parse().map(Self::Tcp).map_err(|_| {
            "an address is IP:PORT such as 127.0.0.1:4820 or [::1]:4820, a port such as 4820, or unix:PATH".to_owned()
        })
    }
}

/// Parses a path that precedes all addresses: empty, or segments of plain characters.
fn parse_base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && segment.chars().any(|c| c != '.')
    };
    match path.strip_prefix('/') {
        None if path.is_empty() => Ok(String::new()),
        Some(rest) if rest.split('/').all(is_plain) => Ok(path.to_owned()),
        _ => {
            Err("a path begins with `/` and consists of letters, digits, `-`, `_` and `.`, such as /monitor"
                .to_owned())
        }
    }
}

/// Parses the pause between two looks, 200 ms to 1 h.
fn parse_refresh(text: &str) -> Result<Duration, String> {
    let pause = units::parse_duration(text)?;
    let allowed = Duration::from_millis(200)..=Duration::from_secs(3600);
    if allowed.contains(&pause) { Ok(pause) } else { Err("the pause is from 200ms to 1h".to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        let tcp = |text: &str| Listen::Tcp(text.parse().unwrap());
        let table = [
            ("127.0.0.1:4820", tcp("127.0.0.1:4820")),
            ("8080", tcp("127.0.0.1:8080")),
            ("localhost:1", tcp("127.0.0.1:1")),
            ("[::1]:4820", tcp("[::1]:4820")),
            ("0.0.0.0:0", tcp("0.0.0.0:0")),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in ["", "shop.example:80", "127.0.0.1", "unix:", "99999"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_base_path_is_plain_and_has_no_slash_at_its_end() {
        assert_eq!(parse_base_path("/monitor/"), Ok("/monitor".to_owned()));
        assert_eq!(parse_base_path("/"), Ok(String::new()));
        for bad in ["monitor", "/a//b", "/..", "/a?b", "/a b", "/<x>"] {
            assert!(parse_base_path(bad).is_err(), "{bad}");
        }
    }
}
