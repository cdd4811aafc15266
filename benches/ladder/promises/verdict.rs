//! Compares the calls that the program made with the counts and rows in its store.

use monitor_benches::{Figures, Table};
use rusqlite::Connection;

use super::{CallCounts, HANDLER, HOT, HOT_COST, Operator, RARE, RATIO, SECONDS, query_value};

impl Operator {
    /// Adds the figures of the program and its store to the table, and notes every promise that is broken.
    pub(super) fn judge(&mut self, figures: &Figures, table: &mut Table) -> rusqlite::Result<()> {
        let store = self.open_store()?;
        for (_, ratio) in figures.iter().filter(|(name, _)| name.starts_with(RATIO)) {
            table.figure(HOT_COST, *ratio, "R");
        }
        let seconds = figures.get(SECONDS).copied().unwrap_or(0.0);
        for function in [HOT, HANDLER, RARE] {
            self.judge_function(
                &store,
                function,
                CallCounts::from_figures(figures, function),
                seconds,
                table,
            )?;
        }
        let rows: f64 = query_value(&store, "SELECT COUNT(*) FROM calls", ())?;
        let bytes: f64 = query_value(&store, "SELECT db_bytes + wal_bytes FROM health", ())?;
        table.figure("promises: store", bytes / 1e6, "MB");
        // The schema, statistics, events, and a log before its checkpoint take up to 6 MB.
        let bytes_max = 6e6 + 300.0 * rows;
        self.expect(bytes <= bytes_max, || format!("the store has {bytes} bytes, {bytes_max} are allowed"));
        Ok(())
    }

    fn judge_function(
        &mut self,
        store: &Connection,
        function: &str,
        made: CallCounts,
        seconds: f64,
        table: &mut Table,
    ) -> rusqlite::Result<()> {
        let name = function.rsplit(':').next().unwrap_or(function);
        let number = |sql: &str| query_value::<i64>(store, sql, [function]).map(i64::unsigned_abs);
        let calls = number("SELECT calls FROM functions WHERE function = ?1")?;
        let errors = number("SELECT errors FROM functions WHERE function = ?1")?;
        let failed = number("SELECT COUNT(*) FROM errors WHERE function = ?1")?;
        let slow = number("SELECT COUNT(*) FROM slow_calls WHERE function = ?1")?;
        let pairs = [
            ("calls counted, of those made", calls, made.calls),
            ("failures with rows, of those made", failed, made.failed),
            ("slow calls with rows, of those made", slow, made.slow),
        ];
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        for (what, found, made) in pairs.into_iter().filter(|(_, _, made)| *made > 0) {
            table.record_in(&format!("promises, {name}: {what}"), found as f64, made as f64, "");
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        table.figure(&format!("promises, {name}: calls a second"), made.calls as f64 / seconds, "");
        let sql = "SELECT COUNT(*) FROM calls WHERE function = ?1 AND kept = 'sampled'";
        let sampled: f64 = query_value(store, sql, [function])?;
        let sampled_max = 1000.0 * (seconds + 1.0);
        table.figure(&format!("promises, {name}: sampled rows a second"), sampled / seconds, "");
        self.expect(sampled <= sampled_max, || {
            format!("{name}: {sampled} sampled rows, {sampled_max} are allowed")
        });
        // On a machine without a spare processor the rings may overflow. Those rows are counted as dropped.
        let dropped: f64 =
            query_value(store, "SELECT dropped FROM functions WHERE function = ?1", [function])?;
        table.figure(&format!("promises, {name}: rows dropped"), dropped, "");
        self.expect(calls == made.calls, || format!("{name}: {calls} of {} calls were counted", made.calls));
        self.expect(errors == made.failed, || {
            format!("{name}: {errors} of {} failures were counted", made.failed)
        });
        self.expect(failed == made.failed, || {
            format!("{name}: {failed} of {} failures have a row", made.failed)
        });
        // On a busy machine more calls are slow than the program made slow. If the machine is so busy that the
        // recorder's thread gets no processor, an event says that the recorder may have missed slow calls.
        let sql =
            "SELECT COUNT(*) FROM events WHERE kind = 'slow' AND detail LIKE 'the recorder was held up%'";
        let held_up: i64 = query_value(store, sql, ())?;
        self.expect(slow >= made.slow || held_up > 0, || {
            format!("{name}: {slow} of {} slow calls have a row", made.slow)
        });
        Ok(())
    }
}
