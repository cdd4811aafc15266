//! `monitor watch`: hands alerts to a command or a webhook, each at least once.
//!
//! Takes alerts that changed in a store; hands those that are news to the receiver, and moves the receiver's cursor in
//! the store once it has taken them. A process that is killed between the two hands over the same alerts again at the
//! next start. A delivery that fails is tried again with growing pauses.

mod exec;
mod headers;
mod message;
mod pauses;
mod webhook;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use monitor_runtime::platform::file_system::file_identity;

use super::{print_note, recover_rings};
use crate::arguments::{Common, Watch};
use crate::model::alerts::{self, Alert};
use crate::store::Store;
use crate::{find, terminal, units};
use pauses::Pauses;

/// The pause between two looks at the store.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause between two searches for ring files of processes that died: their alerts end with them.
const RECOVER_PAUSE: Duration = Duration::from_secs(10);

/// The failures in a row until which alerts are told in their order. With growing pauses, these take five minutes.
const FAILURES_IN_ORDER: i64 = 10;
/// The most alerts that are passed over in a look. Each may take the time limit of a delivery.
const PASSED_OVER_MAX: usize = 20;

/// The receiver of alerts.
enum Receiver {
    Command(exec::Command),
    Webhook(Box<webhook::Webhook>),
}

/// The reason why a receiver did not take alerts.
struct Refusal {
    why: String,
    /// The pause that the receiver asks for.
    retry_after: Option<Duration>,
}

impl Refusal {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), retry_after: None }
    }
}

impl Receiver {
    /// Returns the number of alerts that the receiver takes at once.
    const fn batch(&self) -> usize {
        match self {
            Self::Command(_) => 1,
            Self::Webhook(_) => webhook::ALERTS_MAX,
        }
    }

    fn deliver(&self, alerts: &[Alert], store: &Path) -> Result<(), Refusal> {
        match self {
            Self::Command(command) => alerts.iter().try_for_each(|alert| command.deliver(alert, store)),
            Self::Webhook(webhook) => webhook.deliver(alerts, store),
        }
    }
}

pub(super) fn run(common: &Common, arguments: &Watch) -> Result<()> {
    let (receiver, kind, target) = match (&arguments.exec, &arguments.webhook) {
        (Some(command), _) => {
            (Receiver::Command(exec::Command::new(command, arguments.timeout)), "exec", command)
        }
        (None, Some(address)) => {
            let headers = headers::Headers::new(&arguments.headers)?;
            let ca_file = arguments.ca_file.as_deref();
            let webhook = webhook::Webhook::new(address, headers, arguments.timeout, ca_file)?;
            (Receiver::Webhook(Box::new(webhook)), "webhook", address)
        }
        (None, None) => bail!("--exec or --webhook says who is told"),
    };
    // An address may hold a secret, so the store gets only its hash.
    let name = arguments.name.clone().unwrap_or_else(|| format!("{kind} {:016x}", hash(target)));
    let mut watch = Watcher {
        common,
        receiver,
        name,
        pauses: Pauses::new(arguments.max_pause),
        next_recovery: Instant::now(),
        last_failure: None,
    };
    if arguments.once {
        return watch.deliver_once();
    }
    terminal::end_on_interrupt()?;
    watch.deliver_forever()
}

/// Returns the number of refused alerts that may be passed over in a look, after this many failures in a row. The number
/// grows with the failures, so that no number of such alerts holds up the others for good. It is zero at first, because a
/// receiver that is away refuses all alerts, and those are to be told in their order.
fn passed_over_max(failures: i64) -> usize {
    usize::try_from(failures.saturating_sub(FAILURES_IN_ORDER)).unwrap_or(0).min(PASSED_OVER_MAX)
}

/// Returns a hash of a text that is the same in all versions: FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state of the command.
struct Watcher<'a> {
    common: &'a Common,
    receiver: Receiver,
    name: String,
    pauses: Pauses,
    next_recovery: Instant,
    /// The last failure that was printed, so that an outage is one line.
    last_failure: Option<String>,
}

/// The result of a look at the store.
enum Look {
    /// Nothing waits.
    Done,
    /// The receiver did not take alerts.
    Refused(Refusal),
}

impl Watcher<'_> {
    fn deliver_once(&mut self) -> Result<()> {
        let store = self.open()?;
        match self.deliver(&store)? {
            Look::Done => Ok(()),
            Look::Refused(refusal) => bail!("an alert was not taken, and waits: {}", refusal.why),
        }
    }

    fn deliver_forever(&mut self) -> Result<()> {
        let mut open = Some(self.open()?);
        let mut identity = open.as_ref().and_then(|store| file_identity(store.path()));
        print_note(self.common, &format!("tells `{}` of alerts; Ctrl-C ends", self.name));
        loop {
            let mut pause = PAUSE;
            if let Some(store) = &open {
                match self.deliver(store) {
                    Ok(Look::Done) => self.pauses.reset(),
                    Ok(Look::Refused(refusal)) => {
                        pause = self.pauses.next(refusal.retry_after);
                        self.print_failure(&format!("not taken, is tried again: {}", refusal.why));
                    }
                    Err(error) => {
                        pause = self.pauses.next(None);
                        self.print_failure(&format!("waits for the store: {error:#}"));
                        open = None;
                    }
                }
            }
            std::thread::sleep(pause);
            // A program that finds its file altered continues in a new one.
            let path = find::find_store(self.common.store_path()).map(|path| find::follow_programs(&path));
            let Ok(path) = path else { continue };
            let found = file_identity(&path);
            if open.is_some() && found == identity && Instant::now() < self.next_recovery {
                continue;
            }
            match self.open() {
                Ok(store) => (open, identity) = (Some(store), found),
                Err(error) => {
                    self.print_failure(&format!("waits for the store: {error:#}"));
                    open = None;
                }
            }
        }
    }

    /// Opens the store, after the ring files of processes that died are recovered into it.
    fn open(&mut self) -> Result<Store> {
        let path = find::find_store(self.common.store_path())?;
        let path = find::follow_programs(&path);
        recover_rings(self.common, &path);
        self.next_recovery = Instant::now() + RECOVER_PAUSE;
        let store = Store::open_for_control(&path)?;
        alerts::require(&store)?;
        alerts::enter_receiver(&store, &self.name)?;
        Ok(store)
    }

    /// Hands all alerts that wait to the receiver. After many failures, alerts that the receiver refuses are passed over if
    /// it takes later ones: they are refused for what they hold, and would hold up all others.
    fn deliver(&mut self, store: &Store) -> Result<Look> {
        loop {
            let pending = alerts::read_pending(store, &self.name)?;
            let passed_over_max = passed_over_max(pending.failures);
            let batch_max = if passed_over_max > 0 { 1 } else { self.receiver.batch() };
            let mut told = pending.told;
            let (mut passed_over, mut refusal) = (Vec::new(), None);
            for batch in pending.alerts.chunks(batch_max) {
                let Some(last) = batch.last() else { continue };
                match self.receiver.deliver(batch, store.path()) {
                    Ok(()) => {}
                    Err(refused) if passed_over.len() < passed_over_max => {
                        passed_over.extend_from_slice(batch);
                        refusal = Some(refused);
                        continue;
                    }
                    Err(refused) => {
                        refusal = Some(refused);
                        break;
                    }
                }
                alerts::note_delivered(store, &self.name, batch, &passed_over, last.change, units::now_ns())?;
                passed_over.clear();
                (told, self.last_failure) = (told.max(last.change), None);
                let sentences = batch.iter().map(|alert| format!("told: {}", alert.sentence));
                let text = sentences.collect::<Vec<_>>().join("\n");
                print_note(self.common, &text);
            }
            if let Some(refusal) = refusal {
                alerts::note_failure(store, &self.name, &refusal.why)?;
                return Ok(Look::Refused(refusal));
            }
            // Changes that are no news to the receiver count as taken, so the next look begins after them.
            if pending.change > told {
                alerts::note_delivered(store, &self.name, &[], &[], pending.change, units::now_ns())?;
            }
            if !pending.has_more {
                return Ok(Look::Done);
            }
        }
    }

    fn print_failure(&mut self, text: &str) {
        if self.last_failure.as_deref() != Some(text) {
            terminal::print_note(text);
            self.last_failure = Some(text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_receiver_is_the_same_in_all_versions() {
        assert_eq!(format!("{:016x}", hash("")), "cbf29ce484222325");
        assert_eq!(format!("{:016x}", hash("foobar")), "85944171f73967e8");
    }
}
