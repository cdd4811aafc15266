//! The arguments behind `cargo bench -p monitor-benches --`: how long to measure, and which cases.

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only shows that everything runs: few rounds, little work, figures without meaning.
    pub short: bool,
    /// A worker process is asked for, by name: see [`crate::Worker`].
    pub worker: Option<String>,
    rounds: Option<usize>,
    filters: Vec<String>,
}

/// The fewest rounds of which a median and quartiles are shown.
const ROUNDS: usize = 9;
const ROUNDS_SHORT: usize = 2;

impl Options {
    /// Reads the arguments of this process: `--short`, `--rounds N`, and texts that a case's name must
    /// contain one of. Ends the process with code 2 when they are something else.
    #[must_use]
    pub fn from_args() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|argument| {
            let usage = "usage: cargo bench -p monitor-benches -- [--short] [--rounds N] [CASE…]";
            crate::table::say(&format!("not understood: {argument}\n{usage}\n"));
            std::process::exit(2)
        })
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Added by Cargo.
                "--bench" => {}
                "--short" => options.short = true,
                "--rounds" => {
                    let rounds = args.next().and_then(|rounds| rounds.parse().ok());
                    options.rounds = Some(rounds.ok_or(arg)?);
                }
                "--worker" => options.worker = Some(args.next().ok_or(arg)?),
                _ if arg.starts_with('-') => return Err(arg),
                _ => options.filters.push(arg),
            }
        }
        Ok(options)
    }

    /// How many rounds to measure.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { ROUNDS_SHORT } else { ROUNDS })
    }

    /// `full`, or the little that `--short` does instead.
    #[must_use]
    pub fn amount(&self, full: usize, short: usize) -> usize {
        if self.short { short } else { full }
    }

    /// Whether this case is asked for.
    #[must_use]
    pub fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter.as_str()))
    }
}
