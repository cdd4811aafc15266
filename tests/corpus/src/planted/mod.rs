//! Programs with one fault each.

mod lines_of_orders;
mod queries_awaited;
mod report_of_hundreds;
mod methods_of_a_repository;
mod queries_on_other_threads;
mod repetition_below_the_handler;
mod setting_read_again;
mod user_awaited_again;
mod three_services_in_turn;
mod pages_fetched_in_turn;
mod five_steps_of_a_start_page;
mod thread_sleeps_in_async;
mod computing_in_async;
mod blocking_below_a_handler;
mod always_too_late;
mod loser_of_a_race;
mod two_queries_for_each_item;
mod aborted_in_a_task;
mod aborted_while_charging;
mod one_of_twelve_is_hot;

/// A program: its name, the kind of finding that is its fault, and what it does.
pub(crate) type Planted = (&'static str, &'static str, fn());

/// The programs.
pub(crate) const PROGRAMS: [Planted; 20] = [
    ("lines_of_orders", "n_plus_one", lines_of_orders::run),
    ("queries_awaited", "n_plus_one", queries_awaited::run),
    ("report_of_hundreds", "n_plus_one", report_of_hundreds::run),
    ("methods_of_a_repository", "n_plus_one", methods_of_a_repository::run),
    ("queries_on_other_threads", "n_plus_one", queries_on_other_threads::run),
    ("repetition_below_the_handler", "n_plus_one", repetition_below_the_handler::run),
    ("setting_read_again", "repeated_same", setting_read_again::run),
    ("user_awaited_again", "repeated_same", user_awaited_again::run),
    ("three_services_in_turn", "serial_fanout", three_services_in_turn::run),
    ("pages_fetched_in_turn", "serial_fanout", pages_fetched_in_turn::run),
    ("five_steps_of_a_start_page", "serial_fanout", five_steps_of_a_start_page::run),
    ("thread_sleeps_in_async", "blocks_executor", thread_sleeps_in_async::run),
    ("computing_in_async", "blocks_executor", computing_in_async::run),
    ("blocking_below_a_handler", "blocks_executor", blocking_below_a_handler::run),
    ("always_too_late", "cancelled_often", always_too_late::run),
    ("loser_of_a_race", "cancelled_often", loser_of_a_race::run),
    ("two_queries_for_each_item", "n_plus_one", two_queries_for_each_item::run),
    ("aborted_in_a_task", "died", aborted_in_a_task::run),
    ("aborted_while_charging", "died", aborted_while_charging::run),
    ("one_of_twelve_is_hot", "hot", one_of_twelve_is_hot::run),
];
