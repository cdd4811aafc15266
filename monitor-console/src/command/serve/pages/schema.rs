//! The views of the store and the meaning of each column, as the store itself explains them.

use anyhow::Result;
use maud::html;
use serde_json::json;

use super::super::app::{Context, Page};
use super::super::command::CommandLine;
use super::super::text;
use super::panel;
use crate::model::schema::{self, Object};

pub(super) fn page(context: &Context<'_>) -> Result<Page> {
    let objects = schema::read(&context.store)?;
    let content = html! {
        p.chips { @for object in &objects { a.chip href={ "#v-" (object.name) } { (text::cell(&object.name)) } " " } }
        @for object in &objects {
            h3 id={ "v-" (object.name) } { (text::cell(&object.name)) }
            p { (text::shorten(&object.text, 1000)) " "
                a href=(context.links.sql(&schema::select_first_rows(&object.name))) { "rows" } }
            dl.columns { @for (name, meaning) in &object.columns { div { dt { code { (text::cell(name)) } } dd { (text::shorten(meaning, 1000)) } } } }
        }
        @if objects.is_empty() { p.empty { "the store has no explanations" } }
    };
    let mut page = Page {
        title: "Schema".to_owned(),
        main: html! { h1 { "Schema" } (panel("schema", "Views and tables", &content)) },
        sql: Some(schema::EXPLANATIONS.to_owned()),
        command: CommandLine::new(context, "sql").operand(schema::EXPLANATIONS).finish(),
        ..Page::default()
    };
    let describe = |object: &Object| {
        let columns: Vec<_> =
            object.columns.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
        json!({ "name": object.name, "text": object.text, "columns": columns })
    };
    page.data.insert("schema".to_owned(), objects.iter().map(describe).collect());
    Ok(page)
}
