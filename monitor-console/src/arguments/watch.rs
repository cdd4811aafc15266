//! The arguments of `monitor watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::units;

/// The pause after the first attempt that failed.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("receiver").required(true).args(["exec", "webhook"])))]
#[command(after_help = "\
Examples:
  monitor watch --exec 'mail -s \"$ALERT_LEVEL: $ALERT_RULE\" ops@example.org'
  monitor watch --webhook http://127.0.0.1:9093/hooks/monitor
  monitor watch --webhook https://hooks.example.org/a --header 'Authorization: Bearer ${ALERT_TOKEN}'
  monitor watch --exec ./notify --once           for a timer: tell what waits, and end

A receiver is told when an alert begins to fire, when its level changes, and when it is resolved or ended. It is told at \
least once: the store keeps how far it has been told, and what fails is tried again, with growing pauses and for as long as it \
takes. A new receiver is told of the alerts that fire, and of all that come.

--exec runs the command once for each alert, by the shell. The alert is JSON on its standard input, and in the variables \
ALERT_STATUS (firing or resolved), ALERT_STATE, ALERT_LEVEL, ALERT_RULE, ALERT_FUNCTION, ALERT_SERVICE, ALERT_SENTENCE, \
ALERT_VALUE, ALERT_PEAK, ALERT_SINCE, ALERT_UNTIL, ALERT_ID and ALERT_STORE. Exit code 0 says that the alert is taken.

--webhook posts the form of Alertmanager's webhook, version 4, with up to 50 alerts in a request. An answer 2xx says that they \
are taken. Redirects are refused, because they would lead the alerts to another address. Every user of the computer can read \
the arguments of a process, so a secret belongs into a variable, which the single quotes keep from the shell, or into a file. A file is read \
again for each request.

Exit codes: 0 done, 1 failed (with --once also: something is not told yet), 2 wrong usage.")]
pub(crate) struct Watch {
    /// Command that is run for each alert
    #[arg(long, value_name = "CMD", value_parser = parse_command)]
    pub(crate) exec: Option<String>,
    /// Address that alerts are posted to, http:// or https://
    #[arg(long, value_name = "URL", value_parser = parse_address)]
    pub(crate) webhook: Option<String>,
    /// Header of each request, as 'Name: value'. `${VARIABLE}` stands for a variable of the environment, and @FILE for a file with
    /// a header on each line
    #[arg(long = "header", value_name = "HEADER", conflicts_with = "exec")]
    pub(crate) headers: Vec<String>,
    /// Tell what waits, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Name under which the store keeps how far the receiver has been told [default: kind and a hash of CMD or URL]
    #[arg(long, value_name = "TEXT", value_parser = units::parse_reason)]
    pub(crate) name: Option<String>,
    /// Longest time that a command or a request may take
    #[arg(long, value_name = "DURATION", value_parser = units::parse_time_limit, default_value = "30s")]
    pub(crate) timeout: Duration,
    /// Longest pause between two attempts, 1s or more
    #[arg(long, value_name = "DURATION", value_parser = parse_max_pause, default_value = "1m")]
    pub(crate) max_pause: Duration,
    /// Certificates that sign the server's, in PEM, instead of the public authorities
    #[arg(long, value_name = "FILE", conflicts_with = "exec")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Parses the longest pause between two attempts, which is no shorter than the first one.
fn parse_max_pause(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text)? {
        pause if pause >= FIRST_PAUSE => Ok(pause),
        _ => Err("the longest pause is 1s or more".to_owned()),
    }
}

fn parse_command(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn parse_address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => {
            text.parse::<axum::http::Uri>().map(|_| text.to_owned()).map_err(|error| error.to_string())
        }
        _ => Err("it begins with http:// or https:// and a host".to_owned()),
    }
}
