//! A service loads each entry through a method of its repository.

use monitored::monitor;

use crate::wait;

struct Repository {
    table: &'static str,
}

#[monitor]
impl Repository {
    fn load(&self, entry: u32) -> String {
        wait(1);
        format!("{} {entry}", self.table)
    }
}

#[monitor]
fn show_index(page: u32) -> usize {
    let repository = Repository { table: "entry" };
    (0..20).map(|n| repository.load(page * 20 + n).len()).sum()
}

pub(crate) fn run() {
    (0..5).for_each(|page| {
        show_index(page);
    });
}
