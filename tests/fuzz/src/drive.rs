//! Runs a target on every file of its corpus, then on bytes drawn at random or made from the corpus by small changes.
//! `FUZZ_TIMES` and `FUZZ_SEED` make the run longer and different; the same seed gives the same bytes. Bytes on which
//! a target fails are written to a file; in the corpus they are tried in each run.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// A target: takes any bytes and panics where something is wrong.
pub type Target = fn(&[u8]);

const BYTES_MAX: usize = 2048;
/// Bytes that programs get wrong: ends of ranges, and what parsers look for.
const PIECES: [&[u8]; 20] = [
    b"\x00",
    b"\xFF",
    b"\x7F",
    b"\x80",
    b"\xFF\xFF",
    b"\x00\x80",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    b"\x00\x00\x00\x00\x00\x00\x00\x80",
    b"\"",
    b"\\",
    b"${",
    b"}",
    b"\n",
    b" = ",
    b"[",
    b"'''",
    b"\xE2\x80\xAE",
    b"\x1B[2J",
    b"password",
    b"1e999",
];

/// Runs a target on its corpus and on this many more inputs. Returns the number of all inputs.
///
/// # Panics
/// Panics with the panic of the target, once the bytes are written to a file.
pub fn run(name: &str, target: Target, executions: u64) -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let executions = executions.saturating_mul(number("FUZZ_TIMES").unwrap_or(1));
    let mut random = Random(number("FUZZ_SEED").unwrap_or(1));
    let corpus = corpus(name);
    for bytes in &corpus {
        execute(name, target, bytes);
    }
    for _ in 0..executions {
        let bytes = random.bytes(&corpus);
        execute(name, target, &bytes);
    }
    executions + corpus.len() as u64
}

fn execute(name: &str, target: Target, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        let bytes = &shrink(target, bytes);
        let path = std::env::temp_dir().join(format!("fuzz-{name}"));
        let kept = std::fs::write(&path, bytes);
        let place = folder(name);
        eprintln!(
            "{name} fails on the {} bytes of {} ({kept:?}); in {} they are tried in each run",
            bytes.len(),
            path.display(),
            place.display()
        );
        resume_unwind(panic);
    }
}

/// Returns fewer bytes on which the target fails too.
fn shrink(target: Target, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut chunk = bytes.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < bytes.len() {
            let mut fewer = bytes.clone();
            fewer.drain(at..(at + chunk).min(bytes.len()));
            if catch_unwind(AssertUnwindSafe(|| target(&fewer))).is_err() {
                bytes = fewer;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    bytes
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder(name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file of the corpus")).collect()
}

/// `SplitMix64`: the same numbers for the same seed, on every machine.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// Returns the next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        (self.word() % end.max(1) as u64) as usize
    }

    /// Returns random bytes, or bytes of the corpus with a few changes.
    fn bytes(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if corpus.is_empty() || self.below(2) == 0 {
            // Short inputs are more frequent, because errors with lengths show there.
            let length = 1 << self.below(BYTES_MAX.ilog2() as usize + 1);
            let length = self.below(length + 1);
            return (0..length).map(|_| self.word() as u8).collect();
        }
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, corpus);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    /// Makes one change.
    pub fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below((bytes.len() - at).min(16) + 1);
        match self.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
            3 => bytes[at..end].fill(self.word() as u8),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 if !corpus.is_empty() => {
                let other = &corpus[self.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend(&other[self.below(other.len() + 1)..]);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }
}
