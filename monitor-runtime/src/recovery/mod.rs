//! What a process leaves behind in its ring file.

mod files;

pub(crate) use files::file_name;
