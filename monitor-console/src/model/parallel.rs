//! Work on many items at once, on as many threads as the process may use.

use std::thread;

/// The fewest items for which a thread is worth its start.
const ITEMS_OF_A_THREAD: usize = 32;

/// Returns the result for each item, in the order of the items.
pub(crate) fn map_in_threads<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(items.len() / ITEMS_OF_A_THREAD);
    if threads < 2 {
        return items.iter().map(map).collect();
    }
    thread::scope(|scope| {
        let map = &map;
        let parts = items.chunks(items.len().div_ceil(threads));
        let running: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(map).collect::<Vec<_>>())).collect();
        let results = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        results.flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_whatever_their_number() {
        for number in [0, 1, 31, 64, 65, 1000] {
            let items: Vec<usize> = (0..number).collect();
            let doubled: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map_in_threads(&items, |item| item * 2), doubled);
        }
    }
}
