//! `monitor export`: writes trees of calls, rows of a view, or the whole store for other tools, one file per form.

pub(super) mod target;
mod folded;
mod speedscope;
mod perfetto;
mod rows;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod partitions;
mod report;

use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use monitor_runtime::recover;

use super::{open_stores, require_known_in, trace};
use crate::arguments::{
    BucketStep, Common, Export, ExportKind, MetricsForm, OutputOptions, ParquetExport, PrometheusExport,
    StoreExport, TreeOptions, ViewExport, WeightName,
};
use crate::find;
use crate::format::{self, Pace, Style};
use crate::model::period::Period;
use crate::model::prometheus::{self, Form, Options, Step};
use crate::model::resources;
use crate::model::rows::WIDE_ROWS_MAX;
use crate::model::trees::Trees;
use crate::model::trees::stacks::{Stacks, Weight};
#[cfg(feature = "parquet")]
use crate::model::views;
use crate::pattern::Pattern;
use crate::progress::Progress;
use crate::store::Store;
use crate::stores::Stores;
use crate::units::{self, format_quantity};
use crate::{arguments::FormatName, terminal};
use rows::{Rows, Written};
use target::{Readers, Target};

/// The time limit of a statement that reads everything.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

pub(super) fn run(common: &Common, arguments: &Export) -> Result<()> {
    let stores = open_stores(common)?;
    match &arguments.what {
        ExportKind::Folded(export) => {
            let stacks = Stacks::collect(&load_trees(common, &stores, &export.trees)?);
            let weight = match export.by {
                WeightName::SelfTime => Weight::SelfTime,
                WeightName::Calls => Weight::Calls,
                WeightName::Failures => Weight::Failures,
            };
            write(&stores, &export.output, |out| folded::write(&stacks, weight, out))
        }
        ExportKind::Speedscope(export) => {
            let stacks = Stacks::collect(&load_trees(common, &stores, &export.trees)?);
            let name =
                stores.get_or_first(0).path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
            write(&stores, &export.output, |out| speedscope::write(&stacks, &name, out))
        }
        ExportKind::Perfetto(export) => {
            let trees = load_trees(common, &stores, &export.trees)?;
            let progress = Progress::show(|| "reading resources".to_owned());
            let mut usage = Vec::new();
            for (position, store) in stores.list().into_iter().enumerate() {
                if export.trees.trace.is_some() {
                    break;
                }
                let points = resources::read_points(store, export.trees.span.period(common))?;
                usage.extend(points.into_iter().map(|point| point.of_store(position)));
            }
            drop(progress);
            write(&stores, &export.output, |out| perfetto::write(&stores, &trees, &usage, out))
        }
        ExportKind::Csv(export) => write_text(common, &stores, export, FormatName::Csv),
        ExportKind::Jsonl(export) => write_text(common, &stores, export, FormatName::Jsonl),
        ExportKind::Parquet(export) => write_parquet(common, &stores, export),
        ExportKind::Prometheus(export) => write_metrics(&stores, export),
        ExportKind::Report(export) => {
            let page = report::build(common, &stores, export)?;
            write(&stores, &export.output, |out| Ok(out.write_all(&page)?))
        }
        ExportKind::Sqlite(export) => copy_store(stores.get_or_first(0), export),
    }
}

/// A picture of trees that a full screen writes for other tools.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Picture {
    /// All trees of a span, as a profile for speedscope.
    Flame {
        /// The span.
        period: Period,
        /// The functions below which the trees are shown; `None` for all.
        pattern: Option<Pattern>,
    },
    /// The trace of a call, as a timeline for Perfetto.
    Timeline(i64),
}

/// Writes a picture into a new file of the current folder. Returns a sentence that names the file.
pub(super) fn write_picture(store: &Path, picture: &Picture) -> Result<String> {
    let stores = Stores::open(&[store.to_owned()])?;
    let name = store.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (path, trees) = match picture {
        Picture::Flame { period, pattern } => {
            let digits: String = units::format_date_and_time(units::now_ns())
                .chars()
                .filter(char::is_ascii_digit)
                .take(14)
                .collect();
            let trees = Trees::load_all(&stores.list(), *period, pattern.as_ref(), WIDE_ROWS_MAX)?;
            (PathBuf::from(format!("{name}-{digits}.speedscope.json")), trees)
        }
        Picture::Timeline(id) => {
            let (store, calls) = trace::list_calls(&stores, *id)?;
            (
                PathBuf::from(format!("{name}-trace-{id}.perfetto.json")),
                Trees::load_calls(store, &calls, None)?,
            )
        }
    };
    write_file(&stores, &path, false, |out| match picture {
        Picture::Flame { .. } => speedscope::write(&Stacks::collect(&trees), &name, out),
        Picture::Timeline(_) => perfetto::write(&stores, &trees, &[], out),
    })?;
    let viewer = match picture {
        Picture::Flame { .. } => "speedscope.app",
        Picture::Timeline(_) => "ui.perfetto.dev",
    };
    Ok(format!("wrote {}, which {viewer} opens; {}", path.display(), describe(&trees)))
}

fn write_text(common: &Common, stores: &Stores, export: &ViewExport, name: FormatName) -> Result<()> {
    let style = Style { name, ..common.style() };
    stores.list().iter().for_each(|store| store.set_time_limit(TIME_LIMIT));
    let written = Written::show(&export.output);
    write_target(stores, &export.output, |out| {
        let rows = Rows::from_options(common, export);
        rows.write(stores, &written, &mut *format::create(style, Pace::Whole, out))
    })
}

#[cfg(feature = "parquet")]
fn write_parquet(common: &Common, stores: &Stores, export: &ParquetExport) -> Result<()> {
    let ParquetExport { rows: export, by } = export;
    if export.output.output.is_none() && std::io::stdout().is_terminal() {
        anyhow::bail!("Parquet is no text: name a file with --output FILE, or redirect the output");
    }
    stores.list().iter().for_each(|store| store.set_time_limit(TIME_LIMIT));
    let written = Written::show(&export.output);
    let kinds = views::read_kinds(&stores.list(), &export.view)?;
    let kind_of = |name: &str| kinds.get(name).copied().unwrap_or(views::Kind::Text);
    let rows = Rows::from_options(common, export);
    let fill = |rows: &Rows<'_>, out: &mut (dyn Write + Send)| {
        rows.write(stores, &written, &mut parquet::Parquet::new(out, &kind_of))
    };
    match (by, &export.output.output) {
        (Some(by), Some(folder)) => partitions::write(stores, &rows, *by, folder, export.output.force, fill),
        _ => write_target(stores, &export.output, |out| fill(&rows, out)),
    }
}

#[cfg(not(feature = "parquet"))]
fn write_parquet(_: &Common, _: &Stores, _: &ParquetExport) -> Result<()> {
    anyhow::bail!(
        "this `monitor` was built without Parquet: build it with `cargo install --path monitor-console --features parquet`, \
         or export csv"
    )
}

fn write_metrics(stores: &Stores, export: &PrometheusExport) -> Result<()> {
    let form = match export.form {
        MetricsForm::Text => Form::Text,
        MetricsForm::Openmetrics => Form::OpenMetrics,
        MetricsForm::Protobuf => Form::Protobuf,
    };
    let step = match export.bucket_step {
        BucketStep::Half => Step::Half,
        BucketStep::One => Step::One,
        BucketStep::Two => Step::Two,
    };
    let options = Options { step, is_per_process: export.per_process };
    let store = stores.get_or_first(0);
    let now_ns = units::now_ns();
    let living = recover::find_live(store.path(), &find::list_ring_folders(), now_ns);
    let progress = Progress::show(|| "reading metrics".to_owned());
    let metrics = prometheus::write(store, &living, form, options, now_ns)?;
    drop(progress);
    let OutputOptions { output: Some(path), force, .. } = &export.output else {
        return target::write_stdout(|out| Ok(out.write_all(&metrics)?));
    };
    // The collector of node_exporter, which reads such files, often runs as another user.
    let (target, mut file) = reserve(stores, path, *force, Readers::Others)?;
    file.write_all(&metrics).with_context(|| format!("cannot write {}", path.display()))?;
    target.commit(file)
}

/// Loads the trees that the options select, and says on standard error on how much they rest.
fn load_trees(common: &Common, stores: &Stores, options: &TreeOptions) -> Result<Trees> {
    require_known_in(stores, options.pattern.as_ref())?;
    let trees = load(common, stores, options, WIDE_ROWS_MAX)?;
    terminal::print_note(&format!("{} · {}", stores.describe(), describe(&trees)));
    Ok(trees)
}

/// Loads the trees of a span, of at most `rows` rows unless the options name another number, or the tree of one call.
pub(super) fn load(common: &Common, stores: &Stores, options: &TreeOptions, rows: usize) -> Result<Trees> {
    let _progress = Progress::show(|| "reading calls".to_owned());
    let pattern = options.pattern.as_ref();
    let Some(id) = options.trace else {
        return Trees::load_all(&stores.list(), options.span.period(common), pattern, options.rows.or(rows));
    };
    let (store, calls) = trace::list_calls(stores, id)?;
    Trees::load_calls(store, &calls, pattern)
}

/// Describes on how much a picture of trees rests, and what it lacks.
pub(super) fn describe(trees: &Trees) -> String {
    let mut text = trees.basis().describe();
    if trees.left_out > 0 {
        let left_out = units::format_exact(i64::try_from(trees.left_out).unwrap_or(i64::MAX));
        text = format!("{text} · ~ {} left out", format_quantity(left_out, "row", "rows"));
    }
    text
}

/// Writes to the file of the options, or to standard output. Meanwhile the terminal shows that writing is under way.
fn write(
    stores: &Stores,
    options: &OutputOptions,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    let _progress = show_writing(options, || "writing".to_owned());
    write_target(stores, options, fill)
}

/// Shows the progress of writing on standard error, unless the data itself is written to a terminal.
fn show_writing(options: &OutputOptions, describe: impl Fn() -> String + Send + 'static) -> Option<Progress> {
    let is_shown = options.output.is_none() && std::io::stdout().is_terminal();
    (!is_shown).then(|| Progress::show(describe))
}

/// Writes to the file of the options, or to standard output.
fn write_target(
    stores: &Stores,
    options: &OutputOptions,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    match &options.output {
        Some(path) => write_file(stores, path, options.force, fill),
        None => target::write_stdout(fill),
    }
}

/// Writes a file that did not exist, or replaces it as a whole if `is_forced`.
pub(super) fn write_file(
    stores: &Stores,
    path: &Path,
    is_forced: bool,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    let (target, written) = reserve(stores, path, is_forced, Readers::User)?;
    let mut out = std::io::BufWriter::new(written);
    fill(&mut out)?;
    target.commit(out)
}

/// Creates the file that will have this path. Fails if the file is part of a store.
fn reserve(
    stores: &Stores,
    path: &Path,
    is_forced: bool,
    readers: Readers,
) -> Result<(Target, std::fs::File)> {
    for store in stores.list() {
        target::refuse_store(path, store.path())?;
    }
    Target::reserve(path, stores.get_or_first(0).path(), is_forced, readers)
}

/// Describes how much of a store is copied. The copy is smaller than the store by its free pages.
#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
fn describe_copy(copy: &Path, original: &Path) -> String {
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len()) as f64;
    format!("copied {} of at most {}", units::format_bytes(bytes(copy)), units::format_bytes(bytes(original)))
}

fn copy_store(store: &Store, export: &StoreExport) -> Result<()> {
    let (target, file) = Target::reserve_database(&export.file, store.path(), export.force)?;
    store.set_time_limit(TIME_LIMIT);
    let (copy, original) = (target.written().to_owned(), store.path().to_owned());
    let progress = Progress::show(move || describe_copy(&copy, &original));
    store.copy_to(target.written())?;
    drop(progress);
    target.commit(file)?;
    terminal::print_note(&format!("wrote {}", export.file.display()));
    Ok(())
}
