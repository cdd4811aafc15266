//! A web service with planted flaws, to try `monitored` on: a shop over HTTP with a database, a payment service behind
//! it, a job queue and a load generator. The README beside this file lists the commands and the flaws.
//!
//! A request goes from `api` to `catalog` or `checkout`, and from there to `db` and `payments`; `jobs` works after the
//! answer. `load` plays the customers, and `books` counts what really happened, so that a test can compare.
#![allow(clippy::print_stdout, reason = "a program shows its result")]

mod options;
mod books;
mod http;
mod db;
mod sessions;
mod catalog;
mod payments;
mod receipts;
mod jobs;
mod checkout;
mod forecast;
mod api;
mod load;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use books::Books;
use options::{Command, Options};

/// The time that calls under way get to stop at the end. The planted hung job never stops by itself.
const END_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(complaint) => {
            println!("{complaint}\n\n{}", options::USAGE);
            return Ok(ExitCode::from(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(perform(&options));
    runtime.shutdown_timeout(END_TIMEOUT);
    done.map(|()| ExitCode::SUCCESS)
}

async fn perform(options: &Options) -> Result<(), Box<dyn Error>> {
    let books = Arc::new(Books::default());
    match &options.command {
        Command::Run => {
            let shop = Shop::start(options, &books).await?;
            load::run(&shop.address, options, &books).await;
            shop.end().await;
            if options.hot {
                books.add_all("ns of CPU in forecasts", forecast::cpu_ns());
            }
        }
        Command::Serve => {
            let shop = Shop::start(options, &books).await?;
            println!("the shop answers on {}", shop.address);
            tokio::time::sleep(Duration::from_secs(options.seconds)).await;
            shop.end().await;
        }
        Command::Load(address) => load::run(address, options, &books).await,
        Command::Help => {
            println!("{}", options::USAGE);
            return Ok(());
        }
    }
    println!("{}", books.to_json()?);
    Ok(())
}

/// The running services: the payment service, the job workers and the shop itself.
struct Shop {
    address: String,
    workers: jobs::Workers,
}

impl Shop {
    async fn start(options: &Options, books: &Arc<Books>) -> Result<Self, Box<dyn Error>> {
        // The lines of `tracing` are recorded beside the calls that they were said in.
        monitored_tracing::init();
        let bank = http::serve(payments::bank::router(Arc::clone(books))).await?;
        let database = db::Database::create()?;
        let (queue, workers) = jobs::start(database.clone(), books);
        let app = api::App {
            catalog: catalog::Catalog::new(database.clone(), options.build_b),
            payments: payments::client::Client::new(&bank),
            sessions: sessions::Sessions::default(),
            database,
            queue,
        };
        Ok(Self { address: http::serve(api::router(Arc::new(app))).await?, workers })
    }

    /// Waits until the jobs that can end have ended.
    async fn end(self) {
        self.workers.end().await;
    }
}
