//! Metrics in the child of a fork.

use metrics::counter;

use crate::child::{flush, play as play_part, texts};

pub(crate) fn play() {
    monitored_metrics::install().unwrap();
    let orders = counter!("orders");
    orders.increment(5);
    // SAFETY: the child calls nothing that another thread of the parent could have locked outside of the recorder, which waits
    // for such threads before a fork, and ends without running what the parent has to run at its end.
    match unsafe { libc::fork() } {
        0 => {
            counter!("orders").increment(7);
            orders.increment(20);
            flush();
            // SAFETY: nothing of the process is used any more.
            unsafe { libc::_exit(0) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((waited, status), (child, 0));
        }
    }
    orders.increment(1);
    flush();
}

#[test]
fn a_fork_leaves_what_came_before_to_the_parent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play_part("fork", &path);
    let sums = "SELECT CAST(sum(count) AS TEXT) FROM metric_history GROUP BY process_id ORDER BY 1";
    assert_eq!(texts(&path, sums), ["27", "6"]);
}
