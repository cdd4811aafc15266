//! The resources that a process has used so far, as `/proc` tells them.

use std::fs::{read_dir, read_to_string};

/// The use that a process has made of the machine.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// CPU time of the threads that live, in nanoseconds.
    pub(crate) cpu_ns: f64,
    /// The number of times that the recorder's thread gave up the processor of its own accord.
    pub(crate) wakes: f64,
    /// Bytes handed to the kernel for writing.
    pub(crate) bytes: f64,
}

impl Account {
    /// Returns the use of this process. Its threads live as long as it does.
    pub(crate) fn for_this_process() -> super::Result<Self> {
        let mut account =
            Self { bytes: field(&read_to_string("/proc/self/io")?, "wchar:")?, ..Self::default() };
        for thread in read_dir("/proc/self/task")? {
            let thread = thread?.path();
            let times = read_to_string(thread.join("schedstat"))?;
            account.cpu_ns += times.split(' ').next().ok_or("no CPU time in /proc")?.parse::<f64>()?;
            if read_to_string(thread.join("comm"))?.trim() == "monitored" {
                account.wakes += field(&read_to_string(thread.join("status"))?, "voluntary_ctxt_switches:")?;
            }
        }
        Ok(account)
    }

    /// Returns the use since an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            wakes: self.wakes - before.wakes,
            bytes: self.bytes - before.bytes,
        }
    }
}

fn field(text: &str, name: &str) -> super::Result<f64> {
    let value =
        text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} in /proc"))?;
    Ok(value.trim().parse()?)
}
