//! A package's own code as modules: what each defines, imports and names. Tests are left out. Not
//! a compiler: what macros and derives make is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::Visit;
use syn::{Attribute, ImplItem, Item, Pat, UseTree, Visibility};

/// Files by path below `src`, with `/`.
pub type Files = BTreeMap<String, String>;

/// Index of a module in [`Package::modules`].
pub type ModuleId = usize;

/// A library, or the tree below a `main.rs`.
pub struct Package {
    pub modules: Vec<Module>,
}

/// A module, inline ones too.
pub struct Module {
    pub file: String,
    pub parent: Option<ModuleId>,
    pub children: BTreeMap<String, ModuleId>,
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths of two segments or more, outside `use`.
    pub paths: BTreeSet<Vec<String>>,
    /// Matches on the watched type that a new variant would slip through: what they are.
    pub loose_matches: Vec<String>,
}

/// One name of a `use`.
pub struct Import {
    /// As it is called here; `None` for a glob.
    pub name: Option<String>,
    pub path: Vec<String>,
    pub is_public: bool,
}

/// All Rust files below a folder.
pub fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(folder).expect("below it").to_owned();
                let text = fs::read_to_string(&path).expect("a source");
                files.insert(name.to_string_lossy().replace('\\', "/"), text);
            }
        }
    }
    files
}

impl Package {
    /// Parses what is reachable from a root file. `watched` is the type whose matches are looked at.
    pub fn parse(files: &Files, root: &str, watched: &str) -> Package {
        let mut package = Package {
            modules: Vec::new(),
        };
        let loader = Loader { files, watched };
        loader.file(&mut package, root, "", None);
        package
    }
}

struct Loader<'a> {
    files: &'a Files,
    watched: &'a str,
}

impl Loader<'_> {
    /// `folder` is where its child modules lie, empty or ending in `/`.
    fn file(
        &self,
        to: &mut Package,
        file: &str,
        folder: &str,
        parent: Option<ModuleId>,
    ) -> ModuleId {
        let text = &self.files[file];
        let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        self.module(to, file, folder, parent, parsed.items)
    }

    fn module(
        &self,
        to: &mut Package,
        file: &str,
        folder: &str,
        parent: Option<ModuleId>,
        items: Vec<Item>,
    ) -> ModuleId {
        let id = to.modules.len();
        to.modules.push(Module {
            file: file.into(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: Vec::new(),
            paths: BTreeSet::new(),
            loose_matches: Vec::new(),
        });
        for item in items {
            if is_for_tests(&item) {
                continue;
            }
            match item {
                Item::Mod(child) => {
                    let name = child.ident.to_string();
                    let inside = format!("{folder}{name}/");
                    let child_id = match child.content {
                        Some((_, items)) => self.module(to, file, &inside, Some(id), items),
                        None => {
                            let mut places =
                                [format!("{folder}{name}.rs"), format!("{inside}mod.rs")]
                                    .into_iter()
                                    .filter(|place| self.files.contains_key(place));
                            let place = places.next();
                            let place = place.unwrap_or_else(|| panic!("{file}: no module {name}"));
                            self.file(to, &place, &inside, Some(id))
                        }
                    };
                    to.modules[id].children.insert(name, child_id);
                }
                Item::Use(import) => {
                    let is_public = !matches!(import.vis, Visibility::Inherited);
                    let mut tree = Vec::new();
                    flatten(&import.tree, &mut Vec::new(), &mut tree);
                    let imports = tree.into_iter().map(|(name, path)| Import {
                        name,
                        path,
                        is_public,
                    });
                    to.modules[id].imports.extend(imports);
                }
                other => self.code(&mut to.modules[id], other),
            }
        }
        id
    }

    fn code(&self, module: &mut Module, mut item: Item) {
        if let Item::Impl(block) = &mut item {
            block.items.retain(|item| match item {
                ImplItem::Fn(function) => !has_cfg_test(&function.attrs),
                _ => true,
            });
        }
        module.items.extend(name_of(&item));
        paths_in(item.to_token_stream(), &mut module.paths);
        let mut matches = Matches {
            watched: self.watched,
            found: Vec::new(),
        };
        matches.visit_item(&item);
        module.loose_matches.extend(matches.found);
    }
}

pub fn has_cfg_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        attribute.path().is_ident("test") || text.replace(' ', "").contains("cfg(test)")
    })
}

pub fn is_for_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        _ => return false,
    };
    has_cfg_test(attributes)
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(i) => i.ident.to_string(),
        Item::Enum(i) => i.ident.to_string(),
        Item::Fn(i) => i.sig.ident.to_string(),
        Item::Struct(i) => i.ident.to_string(),
        Item::Static(i) => i.ident.to_string(),
        Item::Trait(i) => i.ident.to_string(),
        Item::Type(i) => i.ident.to_string(),
        Item::Union(i) => i.ident.to_string(),
        Item::Macro(i) => i.ident.as_ref()?.to_string(),
        _ => return None,
    })
}

/// The names that a `use` brings, each with its whole path.
fn flatten(tree: &UseTree, before: &mut Vec<String>, to: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |last: &syn::Ident| {
        let mut path = before.clone();
        if last != "self" || path.is_empty() {
            path.push(last.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, to);
            before.pop();
        }
        UseTree::Name(name) => {
            let path = with(&name.ident);
            to.push((path.last().cloned(), path));
        }
        UseTree::Rename(rename) => to.push((Some(rename.rename.to_string()), with(&rename.ident))),
        UseTree::Glob(_) => to.push((None, before.clone())),
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, to);
            }
        }
    }
}

/// Every `a::b::c` of the tokens, in macros too.
fn paths_in(tokens: TokenStream, to: &mut BTreeSet<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    let mut end = |path: &mut Vec<String>| {
        let path = std::mem::take(path);
        if path.len() > 1 {
            to.insert(path);
        }
    };
    let mut inner = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    end(&mut path);
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                end(&mut path);
                colons = 0;
                inner.push(group.stream());
            }
            _ => {
                end(&mut path);
                colons = 0;
            }
        }
    }
    end(&mut path);
    for stream in inner {
        paths_in(stream, to);
    }
}

/// Finds matches on a type that have an arm for whatever else there is.
struct Matches<'a> {
    watched: &'a str,
    found: Vec<String>,
}

impl Matches<'_> {
    fn names_it(&self, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => ident == self.watched,
            TokenTree::Group(group) => self.names_it(group.stream()),
            _ => false,
        })
    }
}

impl<'ast> Visit<'ast> for Matches<'_> {
    fn visit_expr_match(&mut self, it: &'ast syn::ExprMatch) {
        let on_it = it
            .arms
            .iter()
            .any(|arm| self.names_it(arm.pat.to_token_stream()));
        let takes_all = it.arms.iter().any(|arm| takes_all(&arm.pat));
        if on_it && takes_all {
            self.found
                .push(format!("match {}", it.expr.to_token_stream()));
        }
        syn::visit::visit_expr_match(self, it);
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        if it.path.is_ident("matches") && self.names_it(it.tokens.clone()) {
            self.found.push(format!("matches!({})", it.tokens));
        }
        syn::visit::visit_macro(self, it);
    }
}

/// Whether a pattern takes anything: `_`, a name, or these in a tuple.
fn takes_all(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        Pat::Ident(name) => {
            name.subpat.is_none()
                && name
                    .ident
                    .to_string()
                    .starts_with(|c: char| c.is_lowercase() || c == '_')
        }
        Pat::Tuple(tuple) => tuple.elems.iter().all(takes_all),
        Pat::Or(or) => or.cases.iter().any(takes_all),
        _ => false,
    }
}
