//! The arguments of `cargo bench -p monitor-benches -- …`: they say how long to measure, and which cases.

/// The arguments of this process.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Set by `--short`: a few rounds of little work, which show that everything runs. The figures have no
    /// meaning.
    pub short: bool,
    /// The name of the worker that this process is to be, if it is one: see [`crate::Worker`].
    pub worker: Option<String>,
    rounds: Option<usize>,
    filters: Vec<String>,
}

/// Rounds without `--rounds`. With fewer rounds the median and the quartiles would mean little.
const ROUNDS: usize = 9;
const ROUNDS_SHORT: usize = 2;

impl Options {
    /// Reads the arguments of this process: `--short`, `--rounds N`, and any number of texts, at least one
    /// of which a case's name must contain. Ends the process with code 2 if there is any other option.
    #[must_use]
    pub fn from_args() -> Self {
        Self::parse(std::env::args().skip(1)).unwrap_or_else(|argument| {
            let usage = "usage: cargo bench -p monitor-benches -- [--short] [--rounds N] [CASE…]";
            crate::table::print(&format!("unknown option, or no value for it: {argument}\n{usage}\n"));
            std::process::exit(2)
        })
    }

    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // Cargo adds this one itself.
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

    /// Returns the number of rounds to measure.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { ROUNDS_SHORT } else { ROUNDS })
    }

    /// Returns `full`, or `short` with `--short`.
    #[must_use]
    pub fn amount(&self, full: usize, short: usize) -> usize {
        if self.short { short } else { full }
    }

    /// Returns whether the user asked for this case: its name contains one of the texts, or there are none.
    #[must_use]
    pub fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter.as_str()))
    }
}
