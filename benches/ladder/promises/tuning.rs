//! Changes the rate of the hot function while the program runs, by every means that users have: the command
//! `monitor sample`, SQL, `--reset` and the settings file. For each change it checks that the new rate comes into
//! force, that an event tells who set it, and that rows follow the rate.

use std::process::Command;
use std::time::{Duration, Instant};

use monitor_benches::{Options, Table};
use rusqlite::Connection;

use super::{HOT, Operator, now_ns, query_value};

/// A change of the rate, and the traces that it must leave.
struct Change<'a> {
    rate: f64,
    /// The means of the change, for the table.
    means: &'a str,
    /// The pattern of the end of the event's text.
    event: &'a str,
}

impl Operator {
    /// Lowers and raises the rate by each means, and keeps the store locked for a while in between.
    pub(super) fn change_rates(&mut self, options: &Options, table: &mut Table) -> rusqlite::Result<()> {
        let pause = Duration::from_secs(if options.short { 1 } else { 4 });
        self.wait_until(|store| query_value(store, "SELECT COUNT(*) > 0 FROM calls", ()));
        std::thread::sleep(pause);
        let set =
            |rate: &'static str| move |operator: &mut Self| operator.run_monitor(&["sample", HOT, rate]);
        let zero = Change { rate: 0.0, means: "`monitor sample`", event: "= 0 by monitor:%" };
        self.change_rate(&zero, table, set("0"))?;
        let store = self.open_store()?;
        store.execute_batch("BEGIN IMMEDIATE")?;
        std::thread::sleep(Duration::from_secs(if options.short { 1 } else { 10 }));
        store.execute_batch("ROLLBACK")?;
        let quarter = Change { rate: 0.25, means: "`monitor sample`", event: "= 0.25 by monitor:%" };
        self.change_rate(&quarter, table, set("0.25"))?;
        let low = Change { rate: 0.0001, means: "SQL", event: "= 0.0001 by sql" };
        self.change_rate(&low, table, |operator| {
            let sql = "INSERT OR REPLACE INTO sampling (pattern, rate) VALUES (?1, 0.0001)";
            let set = store.execute(sql, [HOT]);
            operator.expect(set.is_ok(), || format!("the insertion into `sampling` failed: {set:?}"));
        })?;
        let reset = Change { rate: 1.0, means: "`--reset`", event: "reset by monitor:%" };
        self.change_rate(&reset, table, |operator| operator.run_monitor(&["sample", "--reset", HOT]))?;
        let half = Change { rate: 0.5, means: "the settings file", event: "=0.5 by settings file %" };
        self.change_rate(&half, table, |operator| {
            let new = operator.settings.with_extension("new");
            let written = std::fs::write(&new, format!("max_rate = 1000\nsample = '{HOT}=0.5'\n"));
            let renamed = written.and_then(|()| std::fs::rename(&new, &operator.settings));
            operator.expect(renamed.is_ok(), || format!("the settings file was not replaced: {renamed:?}"));
        })?;
        std::thread::sleep(pause);
        Ok(())
    }

    /// Runs `monitor` with these arguments on the store.
    fn run_monitor(&mut self, arguments: &[&str]) {
        let output = Command::new(&self.monitor).args(arguments).arg("--db").arg(&self.store).output();
        let succeeded = output.as_ref().is_ok_and(|output| output.status.success());
        self.expect(succeeded, || format!("`monitor {}` failed: {output:?}", arguments.join(" ")));
    }

    /// Asks the store until the condition holds, for 30 seconds at most. Returns whether the condition held.
    fn wait_until(&self, holds: impl Fn(&Connection) -> rusqlite::Result<bool>) -> bool {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.open_store().is_ok_and(|store| holds(&store).unwrap_or(false)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Sets a rate by `set`, and waits until the store shows it as the requested rate. Adds the time until the rate
    /// was in force to the table, and checks the event and the rows that follow.
    fn change_rate(
        &mut self,
        change: &Change<'_>,
        table: &mut Table,
        set: impl FnOnce(&mut Self),
    ) -> rusqlite::Result<()> {
        let Change { rate, means, event } = *change;
        let set_ns = now_ns();
        set(self);
        let sql = "SELECT asked = ?1 FROM rates WHERE function = ?2";
        let is_in_force = self.wait_until(|store| query_value(store, sql, (rate, HOT)));
        self.expect(is_in_force, || format!("{means}: the rate {rate} did not come into force"));
        let store = self.open_store()?;
        let detail = format!("%{HOT} {event}").replace(" =0", "=0");
        let sql = "SELECT COUNT(*) FROM events WHERE kind = 'rate' AND detail LIKE ?1 AND at_ns >= ?2";
        let events: i64 = query_value(&store, sql, (&detail, set_ns))?;
        self.expect(events > 0, || format!("{means}: no event says who set the rate {rate}"));
        // The program writes an event of its own when it takes a rate over. A reset has none: it shows when the
        // program next writes its rates.
        let sql = "SELECT COALESCE(
                (SELECT MIN(at_ns) FROM events
                 WHERE kind = 'rate' AND detail LIKE ?1 AND at_ns >= ?2 AND process_id > 0),
                (SELECT MAX(at_ns) FROM rates WHERE function = ?3))";
        let in_force_ns: i64 = query_value(&store, sql, (&detail, set_ns, HOT))?;
        #[expect(clippy::cast_precision_loss, reason = "some milliseconds")]
        let delay_ms = (in_force_ns - set_ns) as f64 / 1e6;
        table.figure(&format!("promises: rate {rate} by {means}, in force after"), delay_ms, "ms");
        // A call that had already begun may still be sampled at the old rate.
        let from_ns = in_force_ns + 100_000_000;
        let sampled_rows = |store: &Connection| -> rusqlite::Result<i64> {
            let sql =
                "SELECT COUNT(*) FROM calls WHERE function = ?1 AND kept = 'sampled' AND start_ns >= ?2";
            query_value(store, sql, (HOT, from_ns))
        };
        if rate > 0.0 {
            self.wait_until(|store| Ok(sampled_rows(store)? > 0));
        } else {
            std::thread::sleep(Duration::from_secs(2));
        }
        let rows = sampled_rows(&store)?;
        self.expect((rate > 0.0) == (rows > 0), || format!("{means}: {rows} rows at the rate {rate}"));
        Ok(())
    }
}
