//! The room that stands in for the recorder, `src/inert` of the crate `monitored`, has the recorder's public interface.
//!
//! Takes the source of both; fails with each item of the interface that differs: a signature, a public field, a
//! variant, or a trait that the inert item lacks. The compiler checks that each name exists, because `monitored` names
//! them once for both.

#![allow(clippy::disallowed_methods, reason = "reads the source, not a store")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// The traits that a program may use of a type of the interface.
const TRAITS: [&str; 5] = ["Display", "Error", "Default", "Future", "Drop"];

/// The parts of one room's source that a program can see, by the name of the type, function or trait.
#[derive(Debug, Default)]
struct Interface {
    /// Signatures, fields and variants, as tokens.
    items: BTreeMap<String, BTreeSet<String>>,
    /// Traits, derived or written.
    traits: BTreeMap<String, BTreeSet<String>>,
}

fn text(tokens: impl quote::ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

/// Returns a signature without `mut` before `self`, which no caller sees, and without the modules of types.
fn signature(signature: &syn::Signature) -> String {
    let text = text(signature).replace("mut self", "self");
    let words: Vec<&str> = text.split(' ').collect();
    let is_of_path = |at: usize| words.get(at) == Some(&"::") || words.get(at + 1) == Some(&"::");
    let kept = (0..words.len()).filter(|at| !is_of_path(*at)).map(|at| words[at]);
    kept.collect::<Vec<_>>().join(" ")
}

impl Interface {
    fn add(&mut self, name: &syn::Ident, part: String) {
        self.items.entry(name.to_string()).or_default().insert(part);
    }

    fn add_attributes(&mut self, name: &syn::Ident, attributes: &[syn::Attribute]) {
        for attribute in attributes {
            if attribute.path().is_ident("non_exhaustive") {
                self.add(name, "non_exhaustive".to_owned());
            }
            if attribute.path().is_ident("derive") {
                let _ = attribute.parse_nested_meta(|derived| {
                    let derived = derived.path.segments.last().map(|last| last.ident.to_string());
                    self.traits.entry(name.to_string()).or_default().extend(derived);
                    Ok(())
                });
            }
        }
    }
}

impl<'ast> Visit<'ast> for Interface {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.ident != "tests" {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_attributes(&item.ident, &item.attrs);
        for field in item.fields.iter().filter(|field| is_public(&field.vis)) {
            self.add(&item.ident, format!("field {}: {}", text(&field.ident), text(&field.ty)));
        }
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_attributes(&item.ident, &item.attrs);
        for variant in &item.variants {
            let fields =
                variant.fields.iter().map(|field| format!("{} {}", text(&field.ident), text(&field.ty)));
            let fields = fields.collect::<Vec<_>>().join(", ");
            self.add(&item.ident, format!("variant {} {fields}", variant.ident));
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        for one in &item.items {
            if let syn::TraitItem::Fn(function) = one {
                self.add(&item.ident, signature(&function.sig));
            }
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_public(&item.vis) {
            self.add(&item.sig.ident, signature(&item.sig));
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let syn::Type::Path(path) = &*item.self_ty else { return };
        let Some(name) = path.path.segments.last().map(|last| &last.ident) else { return };
        if let Some((path, _)) = &item.trait_ {
            let implemented = path.segments.last().map(|last| last.ident.to_string());
            let implemented = implemented.filter(|implemented| TRAITS.contains(&implemented.as_str()));
            self.traits.entry(name.to_string()).or_default().extend(implemented);
            return;
        }
        for one in &item.items {
            match one {
                syn::ImplItem::Fn(function) if is_public(&function.vis) => {
                    self.add(name, signature(&function.sig));
                }
                syn::ImplItem::Const(constant) if is_public(&constant.vis) => {
                    self.add(name, format!("const {}: {}", constant.ident, text(&constant.ty)));
                }
                _ => {}
            }
        }
    }
}

fn read(files: &[PathBuf]) -> Interface {
    let mut interface = Interface::default();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a source file is text");
        interface.visit_file(&syn::parse_file(&text).expect("a source file parses"));
    }
    interface
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the source can be listed");
    let paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    let (folders, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// Collects the paths that a `use` imports. A renamed item has its original name; glob imports are left out.
fn paths(tree: &syn::UseTree, before: &[String], into: &mut Vec<Vec<String>>) {
    let path = |last: &syn::Ident| [before, &[last.to_string()]].concat();
    match tree {
        syn::UseTree::Path(one) => paths(&one.tree, &path(&one.ident), into),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| paths(tree, before, into)),
        syn::UseTree::Name(name) => into.push(path(&name.ident)),
        syn::UseTree::Rename(rename) => into.push(path(&rename.ident)),
        syn::UseTree::Glob(_) => {}
    }
}

/// Returns the paths that the root of a crate makes public.
fn public_paths(root: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root).expect("the crate has a root");
    let file = syn::parse_file(&text).expect("the root parses");
    let mut found = Vec::new();
    for item in &file.items {
        if let syn::Item::Use(item) = item
            && is_public(&item.vis)
        {
            paths(&item.tree, &[], &mut found);
        }
    }
    found
}

/// Reads the files in which the recorder may define an item of this path: those of the module that its root takes the item
/// from, or of a public module.
fn read_definitions(source: &Path, root: &[Vec<String>], path: &[String]) -> Interface {
    let known = root.iter().filter(|known| known.last() == path.first());
    let mut modules: Vec<&[String]> =
        known.map(|known| if path.len() == 1 { &known[..known.len() - 1] } else { known }).collect();
    if modules.is_empty() {
        modules.push(&path[..path.len() - 1]);
    }
    let files = modules.into_iter().flat_map(|module| {
        let place = source.join(module.join("/"));
        let file = place.with_extension("rs");
        match (file.is_file(), place.is_dir()) {
            (true, _) => vec![file],
            (false, true) => sources(&place),
            // The name is that of a function as well, which is no module.
            (false, false) => Vec::new(),
        }
    });
    read(&files.collect::<Vec<_>>())
}

#[test]
fn the_inert_room_has_the_recorders_interface() {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = runtime.parent().expect("the folder of the workspace");
    let source = runtime.join("src");
    let from_root = public_paths(&source.join("lib.rs"));
    let inert = read(&sources(&root.join("src/inert")));
    let facade = public_paths(&root.join("src/lib.rs"));
    assert!(facade.len() > 25, "{facade:?}");
    let mut differences = Vec::new();
    for path in facade {
        let name = path.last().expect("a path has a name");
        // The attribute is one macro for both. A future with a context is the future itself where there is no context.
        if ["monitor", "WithContext"].contains(&name.as_str()) {
            continue;
        }
        let recorder = read_definitions(&source, &from_root, &path[1..]);
        let [theirs, ours] = [&recorder, &inert].map(|one| one.items.get(name).cloned().unwrap_or_default());
        let [wanted, given] =
            [&recorder, &inert].map(|one| one.traits.get(name).cloned().unwrap_or_default());
        assert!(!theirs.is_empty() || !wanted.is_empty(), "the recorder has no {name}");
        differences.extend(theirs.difference(&ours).map(|item| format!("{name} lacks `{item}`")));
        differences.extend(ours.difference(&theirs).map(|item| format!("{name} alone has `{item}`")));
        differences.extend(wanted.difference(&given).map(|item| format!("{name} lacks the trait {item}")));
    }
    assert!(differences.is_empty(), "the inert room differs:\n{}", differences.join("\n"));
}

#[test]
fn one_list_of_platforms_decides_for_the_dependency_and_for_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace");
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).expect("the file is text");
        text.chars().filter(|one| !one.is_whitespace()).collect::<String>()
    };
    let (manifest, source) = (read("Cargo.toml"), read("src/lib.rs"));
    let platforms = manifest.split("[target.'cfg(all(").nth(1).and_then(|rest| rest.split("))'").next());
    let platforms = platforms.expect("the dependency on the recorder is one of platforms");
    let wanted = format!("all(feature=\"record\",{platforms})");
    assert_eq!(source.matches(&wanted).count(), 3, "{wanted}");
}

#[test]
fn the_inert_room_has_every_name_that_an_expansion_uses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of the workspace");
    let names_of = |path: &Path, module: Option<&str>| {
        let text = std::fs::read_to_string(path).expect("the source is text");
        let mut items = syn::parse_file(&text).expect("the source parses").items;
        if let Some(module) = module {
            let inner = items.into_iter().find_map(|item| match item {
                syn::Item::Mod(item) if item.ident == module => item.content,
                _ => None,
            });
            items = inner.expect("the module is in the file").1;
        }
        let mut names = BTreeSet::new();
        for item in items {
            match item {
                syn::Item::Use(item) if is_public(&item.vis) => {
                    let mut found = Vec::new();
                    paths(&item.tree, &[], &mut found);
                    names.extend(found.into_iter().filter_map(|path| path.last().cloned()));
                }
                syn::Item::Mod(item) if is_public(&item.vis) => _ = names.insert(item.ident.to_string()),
                syn::Item::Struct(item) if is_public(&item.vis) => _ = names.insert(item.ident.to_string()),
                syn::Item::Type(item) if is_public(&item.vis) => _ = names.insert(item.ident.to_string()),
                syn::Item::Fn(item) if is_public(&item.vis) => _ = names.insert(item.sig.ident.to_string()),
                _ => {}
            }
        }
        names
    };
    let wanted = names_of(&root.join("monitor-runtime/src/lib.rs"), Some("private"));
    let given = names_of(&root.join("src/inert/private/mod.rs"), None);
    assert!(wanted.len() > 20, "{wanted:?}");
    // Only tests create these futures by name.
    let missing: Vec<_> = wanted.difference(&given).filter(|name| *name != "Instrumented").collect();
    assert!(missing.is_empty(), "an expansion may use {missing:?}, which the inert room lacks");
}
