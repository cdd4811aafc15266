//! Programs without a fault that look like those with one.

mod list_was_handed_over;
mod few_rows_of_a_page;
mod tried_again;
mod warm_up;
mod spawned_and_overlapping;
mod joined;
mod recursion;
mod recursion_by_two;
mod loop_with_much_work;
mod steps_that_need_one_another;
mod work_on_the_blocking_pool;
mod long_sync_work;
mod waiting_stream;
mod rarely_too_late;
mod texts_like_secrets;
mod secrets_by_their_names;
mod steady_failures;
pub(crate) mod even_load;
mod ends_at_once;
mod pages_by_cursor;

/// A program: its name, and what it does.
pub(crate) type Clean = (&'static str, fn());

/// The programs.
pub(crate) const PROGRAMS: [Clean; 20] = [
    ("list_was_handed_over", list_was_handed_over::run),
    ("few_rows_of_a_page", few_rows_of_a_page::run),
    ("tried_again", tried_again::run),
    ("warm_up", warm_up::run),
    ("spawned_and_overlapping", spawned_and_overlapping::run),
    ("joined", joined::run),
    ("recursion", recursion::run),
    ("recursion_by_two", recursion_by_two::run),
    ("loop_with_much_work", loop_with_much_work::run),
    ("steps_that_need_one_another", steps_that_need_one_another::run),
    ("work_on_the_blocking_pool", work_on_the_blocking_pool::run),
    ("long_sync_work", long_sync_work::run),
    ("waiting_stream", waiting_stream::run),
    ("rarely_too_late", rarely_too_late::run),
    ("texts_like_secrets", texts_like_secrets::run),
    ("secrets_by_their_names", secrets_by_their_names::run),
    ("steady_failures", steady_failures::run),
    ("even_load", even_load::run),
    ("ends_at_once", ends_at_once::run),
    ("pages_by_cursor", pages_by_cursor::run),
];
