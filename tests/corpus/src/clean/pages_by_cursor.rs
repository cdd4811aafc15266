//! Each page names the cursor of the next.

use monitored::monitor;

use crate::{block_on, rest};

#[monitor]
async fn page(cursor: &str) -> String {
    rest(8).await;
    format!("cursor-{}", cursor.len() * 31 % 97)
}

#[monitor]
async fn read_all(list: u32) -> String {
    let mut cursor = format!("start-{list}");
    for _ in 0..5 {
        cursor = page(&cursor).await;
    }
    cursor
}

pub(crate) fn run() {
    block_on(async {
        for list in 10..18 {
            read_all(list).await;
        }
    });
}
