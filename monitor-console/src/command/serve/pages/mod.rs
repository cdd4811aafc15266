//! The pages, one file each. A page reads from the model, and gives markup and the same as data.

mod now;
mod functions;
mod function;
mod calls;
mod trace;
mod logs;
mod errors;
mod flame;
mod graph;
mod diff;
mod findings;
mod alerts;
mod processes;
mod health;
mod metrics;
mod rates;
mod sql;
mod schema;

use maud::{Markup, html};

use super::address::{FILTERS, path_of};
use super::app::{Context, Render};
use super::table::{self, Frame};
use super::text;
use crate::report::{Cell, Report};

pub(super) use calls::value_as_text as call_text;
pub(super) use sql::rows_as_csv;

/// The pages about all of a store.
pub(super) const ALL: &[(&str, Render)] = &[
    ("/", now::page),
    ("/functions", functions::page),
    ("/calls", calls::page),
    ("/errors", errors::page),
    ("/logs", logs::page),
    ("/flame", flame::page),
    ("/graph", graph::page),
    ("/diff", diff::page),
    ("/findings", findings::page),
    ("/alerts", alerts::page),
    ("/processes", processes::page),
    ("/health", health::page),
    // `/metrics` is what Prometheus asks for.
    ("/series", metrics::page),
    ("/rates", rates::page),
    ("/sql", sql::page),
    ("/schema", schema::page),
];

/// The pages about one thing, which the path names.
pub(super) const WITH_SUBJECT: &[(&str, Render)] = &[
    ("/f/{name}", function::page),
    ("/call/{id}", calls::page_of_one),
    ("/trace/{id}", trace::page),
    ("/error/{id}", errors::page_of_one),
    ("/process/{id}", processes::page_of_one),
    ("/series/{id}", metrics::page_of_one),
];

/// Shows rows with links to the calls and functions that they name. `function` returns the name of a row's function,
/// if it has one. `caption` is shown above the table; `empty` replaces a table without rows.
fn show_with_links<'a>(
    context: &Context<'_>,
    report: &'a Report,
    function: impl Fn(usize, &'a Cell) -> Option<&'a str>,
    (caption, empty): (&str, &str),
) -> Markup {
    let at = |title: &str| report.columns.iter().position(|column| column.title.as_deref() == Some(title));
    let cell = |row: usize, column: &str| {
        let cell = &report.rows.get(row)?[at(column)?];
        match column {
            "CALL" => {
                let id = cell.to_integer()?;
                Some(html! { a href=(context.links.call(id)) { (id) } })
            }
            "FUNCTION" => {
                let name = function(row, cell)?;
                Some(html! { a href=(context.links.function(name)) { (text::function(name)) } })
            }
            _ => None,
        }
    };
    table::show(report, &Frame { caption, cell: &cell, empty, ..Frame::default() })
}

/// Puts content under a heading. The script replaces the panels of an open page one by one.
fn panel(id: &str, title: &str, content: &Markup) -> Markup {
    html! {
        section id=(id) data-panel=(id) aria-labelledby={ (id) "-title" } {
            h2 id={ (id) "-title" } { (title) }
            (content)
        }
    }
}

/// A form that writes: it carries the token of this start of the server.
fn write_form(context: &Context<'_>, path: &str, fields: &Markup) -> Markup {
    let address = context.links.to(path, &[]);
    html! {
        form.write method="post" action=(path_of(&address)) {
            input type="hidden" name="token" value=(context.app.guard().form_token());
            @for (name, kept) in context.links.hidden_fields(&FILTERS) { input type="hidden" name=(name) value=(kept); }
            (fields)
        }
    }
}

/// Says what a panel is about that ignores the chosen span, if a span is chosen.
fn note_ignored_span(context: &Context<'_>, about: &str) -> Markup {
    html! { @if !context.scope.period.is_whole() { p.note { "About " (about) ", whatever span is chosen." } } }
}

/// Returns the text that replaces a panel whose time was up.
fn cut() -> Markup {
    html! { p.empty { "cut, because its time was up" } }
}
