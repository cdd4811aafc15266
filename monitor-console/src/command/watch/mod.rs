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

use std::path::{Path, PathBuf};
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
/// The most alerts that a look passes over.
const PASSED_OVER_MAX: usize = 20;
/// The time after which a look passes over no further alert, because each may take the time limit of a delivery.
const PASSING_MAX: Duration = Duration::from_secs(60);

/// The refused alerts that a look may still pass over.
struct Patience {
    began: Instant,
    left: usize,
}

impl Patience {
    fn new(left: usize) -> Self {
        Self { began: Instant::now(), left }
    }

    /// Returns true if the alert of this refusal may be passed over, and counts it.
    fn passes_over(&mut self, refusal: &Refusal) -> bool {
        let may_pass = self.left > 0 && refusal.retry_after.is_none() && self.began.elapsed() <= PASSING_MAX;
        self.left = self.left.saturating_sub(1);
        may_pass
    }
}

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
        path: find::find_store(common.store_path())?,
        receiver,
        name,
        pauses: Pauses::new(arguments.max_pause),
        refused: RefusedBefore { pauses: Pauses::new(arguments.max_pause), next: Instant::now(), first: 0 },
        next_recovery: Instant::now(),
        last_failure: None,
    };
    if arguments.once {
        return watch.deliver_once();
    }
    terminal::end_on_interrupt()?;
    watch.deliver_forever()
}

/// Returns how many refused alerts a look may pass over, after this many failures in a row, and how many of them it does
/// not even try, because looks before it did. So no number of such alerts holds up the others for good. The first
/// failures allow none, because a receiver that is away refuses all alerts, and those are to be told in their order.
fn passed_over(failures: i64) -> (usize, usize) {
    let looks = usize::try_from(failures.saturating_sub(FAILURES_IN_ORDER)).unwrap_or(0);
    (looks.min(PASSED_OVER_MAX), looks.saturating_sub(PASSED_OVER_MAX).saturating_mul(PASSED_OVER_MAX))
}

/// Returns a hash of a text that is the same in all versions: FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state of the command.
struct Watcher<'a> {
    common: &'a Common,
    /// The store that was found at the start. Another one may become the newest of its folder meanwhile.
    path: PathBuf,
    receiver: Receiver,
    name: String,
    pauses: Pauses,
    next_recovery: Instant,
    /// The last failure that was printed, so that an outage is one line.
    last_failure: Option<String>,
    refused: RefusedBefore,
}

/// The alerts that the receiver refused while it took later ones. They are tried again with pauses of their own, so that
/// news is told at once.
struct RefusedBefore {
    pauses: Pauses,
    /// The time of the next attempt.
    next: Instant,
    /// The alert to begin with, so that each has its turn.
    first: usize,
}

/// The result of a look at the store.
enum Look {
    /// Nothing waits.
    Done,
    /// The receiver did not take news.
    Refused { refusal: Refusal, has_told: bool },
    /// The receiver did not take alerts that it had refused before.
    RefusedAgain(Refusal),
}

impl Watcher<'_> {
    fn deliver_once(&mut self) -> Result<()> {
        let store = self.open()?;
        match self.deliver(&store)? {
            Look::Done => Ok(()),
            Look::Refused { refusal, .. } | Look::RefusedAgain(refusal) => {
                bail!("an alert was not taken, and waits: {}", refusal.why)
            }
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
                    Ok(Look::RefusedAgain(refusal)) => {
                        self.pauses.reset();
                        self.print_failure(&format!("not taken, is tried again: {}", refusal.why));
                    }
                    Ok(Look::Refused { refusal, has_told }) => {
                        if has_told {
                            self.pauses.reset();
                        }
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
            let found = file_identity(&find::follow_programs(&self.path));
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
        let path = find::follow_programs(&self.path);
        recover_rings(self.common, &path);
        self.next_recovery = Instant::now() + RECOVER_PAUSE;
        let store = Store::open_for_control(&path)?;
        alerts::require(&store)?;
        Ok(store)
    }

    /// Hands all alerts that wait to the receiver. After many failures, alerts that the receiver refuses are passed over if
    /// it takes later ones: they are refused for what they hold, and would hold up all others.
    fn deliver(&mut self, store: &Store) -> Result<Look> {
        let (mut has_told, mut last_passed_over) = (false, None);
        loop {
            // The user deletes the receiver's row to have the alerts that fire told again.
            alerts::enter_receiver(store, &self.name)?;
            let mut pending = alerts::read_pending(store, &self.name)?;
            let (passed_over_max, untried) = passed_over(pending.failures);
            let batch_max = if passed_over_max > 0 { 1 } else { self.receiver.batch() };
            let untried = untried.checked_rem(pending.alerts.len()).unwrap_or(0);
            let news = pending.alerts.split_off(untried);
            let (mut passed_over, mut refusal) = (pending.alerts, None);
            let mut patience = Patience::new(passed_over_max);
            let mut told = pending.told;
            for batch in news.chunks(batch_max) {
                let Some(last) = batch.last() else { continue };
                if let Err(refused) = self.receiver.deliver(batch, store.path()) {
                    let goes_on = patience.passes_over(&refused);
                    refusal = Some(refused);
                    if !goes_on {
                        break;
                    }
                    passed_over.extend_from_slice(batch);
                    continue;
                }
                self.note_delivered(store, batch, &passed_over, last.change)?;
                passed_over.clear();
                (told, has_told) = (last.change, true);
                patience.left = passed_over_max;
                last_passed_over = refusal.take().or(last_passed_over);
            }
            if let Some(refusal) = refusal {
                alerts::note_failure(store, &self.name, &refusal.why)?;
                return Ok(Look::Refused { refusal, has_told });
            }
            // Changes that are no news to the receiver count as taken, so the next look begins after them.
            if pending.change > told {
                alerts::note_delivered(store, &self.name, &[], &[], pending.change, units::now_ns())?;
            }
            if pending.has_more {
                continue;
            }
            return match last_passed_over {
                Some(refusal) => self.note_refused_again(store, refusal),
                None => self.deliver_refused(store, &pending.refused),
            };
        }
    }

    /// Hands the alerts over that the receiver refused before, each in its turn.
    fn deliver_refused(&mut self, store: &Store, alerts: &[Alert]) -> Result<Look> {
        if alerts.is_empty() || Instant::now() < self.refused.next {
            return Ok(Look::Done);
        }
        let (mut patience, mut refusal) = (Patience::new(PASSED_OVER_MAX - 1), None);
        let first = self.refused.first % alerts.len();
        let (before, from_first) = alerts.split_at(first);
        for alert in from_first.iter().chain(before) {
            self.refused.first += 1;
            match self.receiver.deliver(std::slice::from_ref(alert), store.path()) {
                Ok(()) => self.note_delivered(store, std::slice::from_ref(alert), &[], 0)?,
                Err(refused) => {
                    let goes_on = patience.passes_over(&refused);
                    refusal = Some(refused);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        let Some(refusal) = refusal else {
            self.refused.pauses.reset();
            return Ok(Look::Done);
        };
        self.note_refused_again(store, refusal)
    }

    /// Notes that the receiver refuses alerts for what they hold, and when they are tried again.
    fn note_refused_again(&mut self, store: &Store, refusal: Refusal) -> Result<Look> {
        self.refused.next = Instant::now() + self.refused.pauses.next(refusal.retry_after);
        alerts::note_refused_again(store, &self.name, &refusal.why)?;
        Ok(Look::RefusedAgain(refusal))
    }

    /// Notes that the receiver took these alerts, and says so.
    fn note_delivered(
        &mut self,
        store: &Store,
        taken: &[Alert],
        passed_over: &[Alert],
        change: i64,
    ) -> Result<()> {
        alerts::note_delivered(store, &self.name, taken, passed_over, change, units::now_ns())?;
        self.last_failure = None;
        let sentences = taken.iter().map(|alert| format!("told: {}", alert.sentence));
        let text = sentences.collect::<Vec<_>>().join("\n");
        print_note(self.common, &text);
        Ok(())
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
    fn alerts_are_passed_over_after_many_failures_and_none_of_them_is_never_tried() {
        for (failures, expected) in
            [(0, (0, 0)), (10, (0, 0)), (11, (1, 0)), (30, (20, 0)), (31, (20, 20)), (33, (20, 60))]
        {
            assert_eq!(passed_over(failures), expected, "{failures}");
        }
        assert_eq!(passed_over(i64::MAX).0, PASSED_OVER_MAX);
    }

    #[test]
    fn the_name_of_a_receiver_is_the_same_in_all_versions() {
        assert_eq!(format!("{:016x}", hash("")), "cbf29ce484222325");
        assert_eq!(format!("{:016x}", hash("foobar")), "85944171f73967e8");
    }
}
