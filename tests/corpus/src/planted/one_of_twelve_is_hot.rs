//! Among twelve functions, one takes most of the time.

use crate::clean::even_load::twelve;

pub(crate) fn run() {
    twelve(60);
}
