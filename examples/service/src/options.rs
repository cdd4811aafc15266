//! The command line.

/// The text that `service help` prints.
pub(crate) const USAGE: &str = "\
usage: service COMMAND [OPTIONS]

commands:
  run               start the shop, put it under load, print its books, end
  serve             start the shop alone and print its address
  load ADDRESS      put a shop that runs elsewhere under load

options:
  --seconds N       how long to run (default 30)
  --rps N           requests a second (default 100)
  --n-plus-one      one request a second makes 20 000 queries
  --hot             one request a second calls a function 5 000 000 times
  --build-b         act as the next version, in which catalog::discount is slower";

/// The options, with their defaults filled in.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) seconds: u64,
    pub(crate) rps: u64,
    pub(crate) n_plus_one: bool,
    pub(crate) hot: bool,
    pub(crate) build_b: bool,
}

/// The thing to do.
#[derive(Debug)]
pub(crate) enum Command {
    Run,
    Serve,
    /// Holds the address of the shop.
    Load(String),
    Help,
}

impl Options {
    /// Reads the arguments. An error is a sentence for the user.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let command = match arguments.next().as_deref() {
            Some("run") => Command::Run,
            Some("serve") => Command::Serve,
            Some("load") => Command::Load(arguments.next().ok_or("load needs the address of a shop")?),
            Some("help" | "--help" | "-h") => Command::Help,
            Some(other) => return Err(format!("there is no command {other}")),
            None => return Err("a command is missing".to_owned()),
        };
        let mut options =
            Self { command, seconds: 30, rps: 100, n_plus_one: false, hot: false, build_b: false };
        while let Some(option) = arguments.next() {
            match option.as_str() {
                "--seconds" => options.seconds = number(&option, arguments.next())?,
                "--rps" => options.rps = number(&option, arguments.next())?,
                "--n-plus-one" => options.n_plus_one = true,
                "--hot" => options.hot = true,
                "--build-b" => options.build_b = true,
                _ => return Err(format!("there is no option {option}")),
            }
        }
        Ok(options)
    }
}

fn number(option: &str, value: Option<String>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{option} needs a number"))?;
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{option} needs a number above 0, but {value} was given")),
    }
}
