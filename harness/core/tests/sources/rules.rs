//! What a package's imports must not be: a circle of files, a loop between folders, or an arrow that
//! runs up against the order of layers.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, ModuleId, Package};

/// Aliases of aliases are followed no further than this: longer is a loop of `use`.
const ALIASES_MAX: usize = 16;

/// Which nodes each points to.
type Graph = BTreeMap<String, BTreeSet<String>>;

enum Target {
    Item(ModuleId),
    Module(ModuleId),
}

impl Package {
    /// What a name means in a module, by itself.
    fn lookup(&self, module: ModuleId, name: &str, depth: usize) -> Option<Target> {
        if depth > ALIASES_MAX {
            return None;
        }
        let here = &self.modules[module];
        if let Some(&child) = here.children.get(name) {
            return Some(Target::Module(child));
        }
        if here.items.contains(name) {
            return Some(Target::Item(module));
        }
        let named = here
            .imports
            .iter()
            .find(|i| i.name.as_deref() == Some(name));
        if let Some(import) = named {
            return self.resolve(module, &import.path, depth + 1);
        }
        let mut globs = here.imports.iter().filter(|i| i.name.is_none());
        globs.find_map(|glob| match self.resolve(module, &glob.path, depth + 1)? {
            Target::Module(other) if other != module => self.lookup(other, name, depth + 1),
            _ => None,
        })
    }

    /// Where a path leads; `None` for another package.
    fn resolve(&self, from: ModuleId, path: &[String], depth: usize) -> Option<Target> {
        let mut at = from;
        for (index, segment) in path.iter().enumerate() {
            at = match segment.as_str() {
                "crate" if index == 0 => 0,
                "self" if index == 0 => from,
                "super" => self.modules[at].parent?,
                // A `use` of an alias by its own name would find itself.
                name => match self.lookup(at, name, depth + 1)? {
                    Target::Item(module) => return Some(Target::Item(module)),
                    Target::Module(module) => module,
                },
            };
        }
        Some(Target::Module(at))
    }

    /// The arrows of one module, as files. A `pub use` of what lies below is no arrow: it is how a
    /// folder shows what it has, and whoever uses that points to the file that defines it.
    fn targets(&self, id: ModuleId) -> BTreeSet<String> {
        let module = &self.modules[id];
        let mut files = BTreeSet::new();
        let mut add = |path: &[String], takes_modules: bool, is_public: bool| {
            let (target, is_module) = match self.resolve(id, path, 0) {
                Some(Target::Item(target)) => (target, false),
                Some(Target::Module(target)) => (target, true),
                None => return,
            };
            let shows = is_public && self.is_below(target, id);
            if !shows && (takes_modules || !is_module) {
                files.insert(self.modules[target].file.clone());
            }
        };
        for import in &module.imports {
            add(&import.path, import.name.is_none(), import.is_public);
        }
        for path in &module.paths {
            add(path, false, false);
        }
        files.remove(&module.file);
        files
    }

    fn is_below(&self, mut id: ModuleId, above: ModuleId) -> bool {
        while let Some(parent) = self.modules[id].parent {
            if parent == above {
                return true;
            }
            id = parent;
        }
        false
    }

    /// File to files.
    pub fn arrows(&self) -> Graph {
        let mut graph = Graph::new();
        for (id, module) in self.modules.iter().enumerate() {
            graph
                .entry(module.file.clone())
                .or_default()
                .extend(self.targets(id));
        }
        graph
    }

    /// Matches that a new variant would slip through, outside a folder: file and match.
    pub fn loose_matches(&self, outside: &str) -> Vec<String> {
        let out = |module: &&Module| !module.file.starts_with(outside);
        let found = self.modules.iter().filter(out);
        found
            .flat_map(|module| {
                module
                    .loose_matches
                    .iter()
                    .map(|m| format!("{}: {m}", module.file))
            })
            .collect()
    }
}

/// Sets of nodes that reach each other, each in order.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let mut seen: BTreeSet<&String> = BTreeSet::new();
        let mut next: Vec<&String> = vec![from];
        while let Some(node) = next.pop() {
            for to in graph.get(node).into_iter().flatten() {
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|node| (node, reach(node))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for (node, others) in &reached {
        let circle: Vec<String> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(node)))
            .map(|other| (*other).clone())
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// Arrows between folders that have the same parent.
pub fn folders(arrows: &Graph) -> Graph {
    let mut graph = Graph::new();
    for (from, targets) in arrows {
        for to in targets {
            let pairs = from.split('/').zip(to.split('/'));
            let same = pairs.take_while(|(a, b)| a == b).count();
            let folder = |path: &str| {
                let parts: Vec<&str> = path.split('/').collect();
                (parts.len() > same + 1).then(|| parts[..=same].join("/"))
            };
            if let (Some(from), Some(to)) = (folder(from), folder(to)) {
                graph.entry(to.clone()).or_default();
                graph.entry(from).or_default().insert(to);
            }
        }
    }
    graph
}

/// What is wrong with the arrows by an order of layers, the lowest first: those that run up, and
/// what has no place in it.
pub fn against(order: &[&str], arrows: &Graph) -> Vec<String> {
    let layer = |file: &str| {
        let name = file.split('/').next().unwrap_or(file);
        let name = name.strip_suffix(".rs").unwrap_or(name);
        order
            .iter()
            .position(|layer| layer.split(' ').any(|l| l == name))
    };
    let mut wrong = Vec::new();
    for (from, targets) in arrows {
        if layer(from).is_none() {
            wrong.push(format!("{from} is in no layer"));
        }
        for to in targets {
            if let (Some(a), Some(b)) = (layer(from), layer(to))
                && a < b
            {
                wrong.push(format!("{from} -> {to} runs up"));
            }
        }
    }
    wrong
}
