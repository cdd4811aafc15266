//! Metrics in the child of a fork.

use metrics::counter;

use crate::child::{flush, own_store, play as play_part, texts};

pub(crate) fn play() {
    monitored_metrics::install().unwrap();
    let orders = counter!("orders");
    orders.increment(5);
    fork(|| {
        counter!("orders").increment(7);
        orders.increment(20);
        flush();
    });
    orders.increment(1);
    flush();
}

/// Runs a function in the child of a fork, and waits for its end.
fn fork(run: impl FnOnce()) {
    // SAFETY: the child calls nothing that another thread of the parent could have locked outside of the recorder, which waits
    // for such threads before a fork, and ends without running what the parent has to run at its end.
    match unsafe { libc::fork() } {
        0 => {
            run();
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
}

/// Names the store in code, beside the one that the environment names.
pub(crate) fn play_init() {
    monitored::init(monitored::Config::new().db(own_store().with_file_name("init.db"))).unwrap();
    monitored_metrics::install().unwrap();
    fork(|| {
        counter!("orders").increment(7);
        flush();
    });
    counter!("orders").increment(1);
    flush();
}

#[test]
fn a_child_records_where_the_program_has_named_the_store_in_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play_part("fork init", &path);
    let sums = "SELECT CAST(sum(count) AS TEXT) FROM metric_history GROUP BY process_id ORDER BY 1";
    assert_eq!(texts(&folder.path().join("init.db"), sums), ["1", "7"]);
    assert!(!path.exists());
}

#[test]
fn a_fork_leaves_what_came_before_to_the_parent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    play_part("fork", &path);
    let sums = "SELECT CAST(sum(count) AS TEXT) FROM metric_history GROUP BY process_id ORDER BY 1";
    assert_eq!(texts(&path, sums), ["27", "6"]);
}
