//! The direction of imports: a room of the runtime imports only rooms below it.
//!
//! Takes the source files of `monitor-runtime/src`; fails with the file, the line and the two rooms of each
//! import that leads upwards, of siblings that import each other in a circle, and of a file that callers run
//! and that names the cold side's rows. Code under `#[cfg(test)]` is exempt: a test may build the pipeline
//! around the room that it tests.
//!
//! Takes the source files of `monitor-console/src/command` too; fails with the file and the line of each text that
//! is an SQL statement, because every face of the console rests on the queries of `monitor-console/src/model`.

#![allow(clippy::disallowed_methods, reason = "reads the source, not a store")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

/// The rooms from the ground up. `ARCHITECTURE.md` says what each takes and gives.
const ROOMS: [&str; 22] = [
    "sync",
    "limits",
    "growth",
    "by_number",
    "units",
    "accountant",
    "platform",
    "histogram",
    "record",
    "sampling",
    "config",
    "capture",
    "site",
    "batch",
    "alert",
    "ring",
    "thread",
    "call",
    "store",
    "recover",
    "collect",
    "runtime",
];

/// Files of `ring` that run on a caller's thread, beside the rooms `site`, `call`, `thread`, `record` and
/// `capture`. None of them names `batch`, because rows belong to the cold side.
const HOT_FILES: [&str; 6] =
    ["ring::spsc", "ring::frames", "ring::suspended", "ring::memory", "ring::layout", "ring::mapping"];
const HOT_ROOMS: [&str; 5] = ["site", "call", "thread", "record", "capture"];

/// An import of one module by another, both as paths without `crate::`.
struct Import {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

#[test]
fn a_room_imports_only_rooms_below_it() {
    let upwards: Vec<String> = imports()
        .iter()
        .filter(|import| floor(&import.to) > floor(&import.from))
        .map(|import| {
            let (from, to) = (room(&import.from), room(&import.to));
            format!("{}:{}: `{from}` imports `{to}`, which is above it", import.file.display(), import.line)
        })
        .collect();
    assert!(upwards.is_empty(), "{} imports lead upwards:\n{}", upwards.len(), upwards.join("\n"));
}

#[test]
fn siblings_within_a_room_do_not_import_each_other_in_a_circle() {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for import in imports() {
        if let Some((from, to)) = siblings(&import.from, &import.to) {
            edges.entry(from).or_default().insert(to);
        }
    }
    let reaches = |start: &str, end: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(module) = open.pop() {
            for next in edges.get(module).into_iter().flatten() {
                if next == end {
                    return true;
                }
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        false
    };
    let circles: Vec<String> = edges
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        .filter(|(from, to)| reaches(to, from))
        .map(|(from, to)| format!("`{from}` imports `{to}`, which leads back to it"))
        .collect();
    assert!(circles.is_empty(), "siblings in a circle:\n{}", circles.join("\n"));
}

#[test]
fn files_that_callers_run_name_no_rows() {
    let is_hot = |module: &str| HOT_FILES.contains(&module) || HOT_ROOMS.contains(&room(module));
    let named: Vec<String> = imports()
        .iter()
        .filter(|import| is_hot(&import.from) && room(&import.to) == "batch")
        .map(|import| format!("{}:{}", import.file.display(), import.line))
        .collect();
    assert!(named.is_empty(), "the hot side names `batch`:\n{}", named.join("\n"));
}

/// Files of `monitor-console/src/command` that may contain SQL statements, each with its reason.
const FILES_WITH_SQL: [(&str, &str); 4] = [
    ("demo.rs", "suggests a statement to try"),
    ("sql.rs", "runs the statement of a person, and says which ones are run"),
    ("tui/screen/command.rs", "writes the statements that a person copies and runs"),
    ("tui/tests.rs", "a test: its findings have statements as evidence"),
];

/// Words that begin or join SQL statements, in the case in which the source writes them.
const SQL_WORDS: [&str; 5] = ["SELECT", "INSERT", "UPDATE", "DELETE", "PRAGMA"];

#[test]
fn no_command_of_the_console_contains_an_sql_statement() {
    // The package of the runtime is published without the console beside it.
    let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitor-console/src/command");
    if !commands.is_dir() {
        return;
    }
    let mut files = Vec::new();
    find_files(&commands, &mut files);
    let (mut found, mut exempt) = (Vec::new(), BTreeSet::new());
    for file in &files {
        let shown = file.strip_prefix(&commands).expect("below the folder");
        let text = std::fs::read_to_string(file).expect("a source file is text");
        let mut reader = TextReader::default();
        reader.visit_file(&syn::parse_file(&text).expect("a source file parses"));
        let statements: Vec<usize> =
            reader.texts.iter().filter(|(text, _)| is_statement(text)).map(|(_, line)| *line).collect();
        match FILES_WITH_SQL.iter().find(|(name, _)| shown == Path::new(name)) {
            Some((name, _)) if !statements.is_empty() => _ = exempt.insert(*name),
            Some(_) => {}
            None => found.extend(statements.iter().map(|line| format!("{}:{line}", shown.display()))),
        }
    }
    assert!(files.len() > 80, "only {} files of commands were found", files.len());
    assert!(
        found.is_empty(),
        "{} texts are SQL statements, which belong to `monitor-console/src/model`:\n{}",
        found.len(),
        found.join("\n")
    );
    let needless: Vec<&str> =
        FILES_WITH_SQL.iter().map(|(name, _)| *name).filter(|name| !exempt.contains(name)).collect();
    assert!(needless.is_empty(), "files that contain no SQL statement need no exception: {needless:?}");
}

#[test]
fn a_text_is_a_statement_if_a_word_of_sql_stands_in_it_or_begins_it() {
    for text in
        ["SELECT 1", "\nWITH a AS (SELECT 1)", "COALESCE((SELECT MIN(id)", "select id from call", "pragma x"]
    {
        assert!(is_statement(text), "{text}");
    }
    for text in
        ["UPDATE_SCREENS", "SELECTED", "select less, for example with --since", "an update", "deleted"]
    {
        assert!(!is_statement(text), "{text}");
    }
}

/// Returns true if a text contains a word of SQL in capitals, or begins like a statement in small letters.
fn is_statement(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let small = text.trim_start().to_ascii_lowercase();
    let begins = ["insert into ", "delete from ", "pragma "].iter().any(|start| small.starts_with(start));
    let selects = small.starts_with("select ") && small.contains(" from ");
    words.any(|word| SQL_WORDS.contains(&word)) || begins || selects
}

/// Collects the texts of a file with the line of each, without documentation and the code of tests.
#[derive(Default)]
struct TextReader {
    texts: Vec<(String, usize)>,
}

impl TextReader {
    /// Reads the tokens of a macro's arguments, which the parser leaves as they are.
    fn add_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Literal(literal) => {
                    let line = literal.span().start().line;
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.texts.push((text.value(), line));
                    }
                }
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for TextReader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_of_tests(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.texts.push((text.value(), text.span().start().line));
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {
        // Documentation is an attribute, and may name statements.
    }
}

/// Returns the first segment of a module's path.
fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Returns the height of a module's room; `lib.rs` and what only it holds stand above all rooms.
fn floor(module: &str) -> usize {
    ROOMS.iter().position(|known| *known == room(module)).unwrap_or(ROOMS.len())
}

/// Returns the two modules directly below the closest common parent of both, within one room.
fn siblings(from: &str, to: &str) -> Option<(String, String)> {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split("::").collect(), to.split("::").collect());
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let is_within_a_room = common > 0 && common < from.len() && common < to.len();
    is_within_a_room.then(|| (from[..=common].join("::"), to[..=common].join("::")))
}

/// Returns every import of the runtime's source.
fn imports() -> Vec<Import> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find_files(&source, &mut files);
    let modules: BTreeMap<String, PathBuf> = files
        .into_iter()
        .map(|file| (module_path(file.strip_prefix(&source).expect("below src")), file))
        .collect();
    for room in ROOMS {
        assert!(modules.contains_key(room), "there is no room `{room}` any more");
    }
    let mut imports = Vec::new();
    for (module, file) in &modules {
        if module.is_empty() {
            continue;
        }
        assert!(ROOMS.contains(&room(module)), "{} belongs to no room", file.display());
        let text = std::fs::read_to_string(file).expect("a source file is text");
        let parsed = syn::parse_file(&text).expect("a source file parses");
        let mut reader =
            Reader { module: module.split("::").map(str::to_owned).collect(), paths: Vec::new() };
        reader.visit_file(&parsed);
        for (path, line) in reader.paths {
            let to = longest_module(&path, &modules);
            if let Some(to) = to.filter(|to| to != module) {
                imports.push(Import { from: module.clone(), to, file: file.clone(), line });
            }
        }
    }
    assert!(imports.len() > 300, "only {} imports were found", imports.len());
    imports
}

fn find_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the source can be listed") {
        let path = entry.expect("an entry of a folder can be read").path();
        if path.is_dir() {
            find_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Converts `ring/spsc.rs` to `ring::spsc`, `ring/mod.rs` to `ring` and `lib.rs` to nothing.
fn module_path(file: &Path) -> String {
    let path = file.with_extension("");
    let segments: Vec<&str> = path.iter().filter_map(|segment| segment.to_str()).collect();
    segments.into_iter().filter(|segment| !matches!(*segment, "mod" | "lib")).collect::<Vec<_>>().join("::")
}

/// Returns the longest beginning of a path that is a module; none for a path that only `lib.rs` resolves.
fn longest_module(path: &[String], modules: &BTreeMap<String, PathBuf>) -> Option<String> {
    let beginnings = (1..=path.len()).rev().map(|length| path[..length].join("::"));
    beginnings.into_iter().find(|path| modules.contains_key(path)).or_else(|| path.first().cloned())
}

/// Collects the paths of a file that begin with `crate`, `super` or `self`, without the code of tests.
struct Reader {
    module: Vec<String>,
    /// Paths from the crate's root, with the line of each.
    paths: Vec<(Vec<String>, usize)>,
}

impl Reader {
    fn add(&mut self, segments: &[String], at: Span) {
        let mut base = self.module.clone();
        let mut rest = segments;
        match rest.first().map(String::as_str) {
            Some("crate") => base.clear(),
            Some("self") => {}
            Some("super") => _ = base.pop(),
            _ => return,
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        self.paths.push((base, at.start().line));
    }

    fn add_use(&mut self, before: &mut Vec<String>, tree: &syn::UseTree, at: Span) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.add_use(before, &path.tree, at);
                before.pop();
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_use(before, tree, at));
            }
            syn::UseTree::Name(syn::UseName { ident })
            | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                let mut path = before.clone();
                path.extend((ident != "self").then(|| ident.to_string()));
                self.add(&path, at);
            }
            syn::UseTree::Glob(_) => self.add(before, at),
        }
    }

    /// Reads the tokens of a macro's arguments, which the parser leaves as they are.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut begins_at = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path), begins_at);
                        begins_at = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.add(&std::mem::take(&mut path), begins_at);
                    self.add_tokens(group.stream());
                }
                _ => self.add(&std::mem::take(&mut path), begins_at),
            }
        }
        self.add(&path, begins_at);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_of_tests(item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&mut Vec::new(), &item.tree, item.span());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        syn::visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments, path.span());
        syn::visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in crate::collect)` says who may import an item, and imports nothing.
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add_tokens(item.tokens.clone());
        syn::visit::visit_macro(self, item);
    }
}

/// Returns true for an item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn is_of_tests(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        let text = list.tokens.to_string();
        text == "test" || text.starts_with("all (test") || text.starts_with("all(test")
    })
}
