//! The house as ARCHITECTURE.md draws it, proven on every path that the code writes: no room imports one that stands on
//! its own floor or above it, and no files import each other, in however wide a circle. Tests are left out: they may
//! look at anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module as the names on the way to it, the crate's first: `[cellshard, store, read, shard]`.
type Module = Vec<String>;

/// The crates, each with the folder of its sources.
const CRATES: [(&str, &str); 3] =
    [("cellshard", "src"), ("cellshard_train", "train/src"), ("cellshard_python", "python/src")];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn module_of(name: &str, root: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(root).unwrap().with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.insert(0, name.to_owned());
    module.pop_if(|last| last == "mod" || last == "lib");
    module
}

/// What one file says: the paths that it writes, and its modules for tests alone.
#[derive(Default)]
struct Mentions {
    paths: BTreeSet<Vec<String>>,
    test_modules: BTreeSet<String>,
}

impl Mentions {
    fn of(text: &str) -> Self {
        let mut mentions = Self::default();
        mentions.walk(text.parse().unwrap());
        mentions
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut i = 0;
        while i < tokens.len() {
            if is_cfg_test(&tokens[i..]) {
                i += 2;
                i += tokens[i..].iter().position(|token| matches!(token, TokenTree::Ident(x) if x == "mod")).unwrap();
                self.test_modules.insert(tokens[i + 1].to_string());
                i += 3;
                continue;
            }
            match &tokens[i] {
                TokenTree::Ident(word) if word == "use" => i += 1 + self.tree(&tokens[i + 1..], &[]),
                TokenTree::Ident(_) if is_path(&tokens[i..]) => {
                    let mut path = vec![tokens[i].to_string()];
                    while is_path(&tokens[i..]) {
                        i += 3;
                        path.push(tokens[i].to_string());
                    }
                    self.paths.insert(path);
                    i += 1;
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream());
                    i += 1;
                }
                _ => i += 1,
            }
        }
    }

    /// Takes in a tree of `use` behind `prefix`; how many tokens it has up to its comma or semicolon.
    fn tree(&mut self, tokens: &[TokenTree], prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        for (i, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(word) if word == "as" => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let mut at = 0;
                    while at < inner.len() {
                        at += 1 + self.tree(&inner[at..], &path);
                    }
                    return i + 1;
                }
                TokenTree::Punct(mark) if matches!(mark.as_char(), ',' | ';') => {
                    self.paths.insert(path);
                    return i;
                }
                _ => {}
            }
        }
        self.paths.insert(path);
        tokens.len()
    }
}

/// `#[cfg(test)]` before a module.
fn is_cfg_test(tokens: &[TokenTree]) -> bool {
    let text: String = tokens.iter().take(2).map(ToString::to_string).collect::<String>().replace(' ', "");
    let item = tokens.iter().skip(2).take(12).map(ToString::to_string).take_while(|word| word != "fn" && word != "{");
    text == "#[cfg(test)]" && item.into_iter().any(|word| word == "mod")
}

/// A name, `::`, and another name.
fn is_path(tokens: &[TokenTree]) -> bool {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    let is_name = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Ident(_)));
    is_name(tokens.first()) && is_colon(tokens.get(1)) && is_colon(tokens.get(2)) && is_name(tokens.get(3))
}

/// An import: the file that is named, and the one that holds what is meant, where the former only passes it on.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    named: Module,
    meant: Module,
}

/// What all files say.
struct House {
    mentions: BTreeMap<Module, Mentions>,
    /// Modules that are there for tests alone, with all that is below them.
    tests: BTreeSet<Module>,
}

impl House {
    fn read() -> Self {
        let mut mentions: BTreeMap<Module, Mentions> = BTreeMap::new();
        for (name, folder) in CRATES {
            let root = repository().join(folder);
            for file in rust_files(&root) {
                mentions.insert(module_of(name, &root, &file), Mentions::of(&fs::read_to_string(&file).unwrap()));
            }
        }
        let of_tests = |(module, found): (&Module, &Mentions)| {
            found.test_modules.iter().map(|name| [&module[..], std::slice::from_ref(name)].concat()).collect::<Vec<_>>()
        };
        let tests = mentions.iter().flat_map(of_tests).collect();
        Self { mentions, tests }
    }

    fn is_test(&self, module: &Module) -> bool {
        (1..=module.len()).any(|n| self.tests.contains(&module[..n]))
    }

    /// The module that a path written in `from` leads to, and what is left of the path there; `None` for another
    /// crate's, and for a test's.
    fn resolve(&self, from: &Module, path: &[String]) -> Option<(Module, Vec<String>)> {
        let below = [&from[..], &path[..1]].concat();
        let mut at = match path[0].as_str() {
            "crate" => vec![from[0].clone()],
            "self" => from.clone(),
            "super" => from[..from.len() - path.iter().take_while(|part| *part == "super").count()].to_vec(),
            name if CRATES.iter().any(|(known, _)| *known == name) => vec![name.to_owned()],
            // A module below this one, by its name alone.
            _ if self.mentions.contains_key(&below) => below,
            _ => return None,
        };
        let mut rest: Vec<String> = path.iter().skip(1).skip_while(|part| *part == "super").cloned().collect();
        while let Some(part) = rest.first() {
            let next = [&at[..], std::slice::from_ref(part)].concat();
            if self.tests.contains(&next) {
                return None;
            }
            if !self.mentions.contains_key(&next) {
                break;
            }
            at = next;
            rest.remove(0);
        }
        Some((at, rest))
    }

    /// Where what is left of a path in a module comes from: the module itself, or one that it takes it from.
    fn meant(&self, module: &Module, rest: &[String]) -> Module {
        let Some(item) = rest.first() else { return module.clone() };
        let passed_on = self.mentions[module].paths.iter().filter(|path| path.len() > 1 && path.last() == Some(item));
        let source = passed_on.filter_map(|path| self.resolve(module, path)).find(|(from, _)| from != module);
        source.map_or_else(|| module.clone(), |(from, rest)| self.meant(&from, &rest))
    }

    /// Every module with what it imports.
    fn imports(&self) -> BTreeMap<Module, BTreeSet<Import>> {
        let import = |from: &Module, path: &Vec<String>| {
            let (named, rest) = self.resolve(from, path)?;
            let meant = self.meant(&named, &rest);
            (named != *from).then_some(Import { named, meant })
        };
        let of = |module: &Module| self.mentions[module].paths.iter().filter_map(|path| import(module, path)).collect();
        self.mentions.keys().filter(|module| !self.is_test(module)).map(|module| (module.clone(), of(module))).collect()
    }
}

/// The floors of each crate as ARCHITECTURE.md names them, lowest first: rooms that stand on one floor share a line.
fn floors() -> BTreeMap<Module, (usize, String)> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, block) = text.split_once("```text floors\n").expect("ARCHITECTURE.md names the floors");
    let (block, _) = block.split_once("```").unwrap();
    let mut floors = BTreeMap::new();
    let mut at: Module = Vec::new();
    for (number, line) in block.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if let Some(of) = line.strip_suffix(':') {
            at = of.split("::").map(str::to_owned).collect();
            continue;
        }
        for room in line.split_whitespace() {
            let module = at.iter().cloned().chain(room.split("::").map(str::to_owned)).collect();
            let first = floors.insert(module, (number, line.trim().to_owned()));
            assert!(first.is_none(), "ARCHITECTURE.md names {room} twice");
        }
    }
    floors
}

fn shown(module: &Module) -> String {
    module.join("::")
}

#[test]
fn no_room_imports_one_on_its_own_floor_or_above() {
    let (imports, floors) = (House::read().imports(), floors());
    let room = |module: &Module| (1..=module.len()).rev().find_map(|n| floors.get_key_value(&module[..n]));
    let is_facade =
        |module: &Module| imports.keys().any(|other| other.len() > module.len() && other.starts_with(module));
    let mut wrong = Vec::new();
    let mut used: BTreeSet<&Module> = BTreeSet::new();
    for (from, to) in &imports {
        if from.len() == 1 {
            continue;
        }
        let Some((own, (floor, _))) = room(from) else {
            // What only declares and re-exports rooms has no floor.
            assert!(is_facade(from), "ARCHITECTURE.md names no floor for {}", shown(from));
            continue;
        };
        used.insert(own);
        for Import { meant, .. } in to {
            let Some((other, (other_floor, _))) = room(meant) else { continue };
            if own != other && floor <= other_floor && own[0] == other[0] {
                wrong.push(format!("{} imports {}", shown(from), shown(meant)));
            }
        }
        if own[0] == "cellshard" && to.iter().any(|to| to.named[0] == "cellshard_train") {
            wrong.push(format!("{} imports the trainer", shown(from)));
        }
    }
    assert!(wrong.is_empty(), "arrows that do not go down:\n{}", wrong.join("\n"));
    let idle: Vec<String> = floors.keys().filter(|room| !used.contains(room)).map(shown).collect();
    assert!(idle.is_empty(), "ARCHITECTURE.md names rooms that are not there: {}", idle.join(", "));
}

#[test]
fn no_files_import_each_other_in_however_wide_a_circle() {
    let files = |to: BTreeSet<Import>| to.into_iter().map(|import| import.named).collect();
    let mut imports: BTreeMap<Module, BTreeSet<Module>> =
        House::read().imports().into_iter().map(|(from, to)| (from, files(to))).collect();
    // Whatever imports nothing that is left is in no circle.
    loop {
        let done: Vec<Module> = imports.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()).collect();
        if done.is_empty() {
            break;
        }
        for module in &done {
            imports.remove(module);
        }
        for to in imports.values_mut() {
            to.retain(|to| !done.contains(to));
        }
    }
    // Nor is what nothing that is left imports.
    loop {
        let wanted: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        let n = imports.len();
        imports.retain(|module, _| wanted.contains(module));
        if imports.len() == n {
            break;
        }
    }
    let circle = |(from, to): (&Module, &BTreeSet<Module>)| {
        format!("{} -> {}", shown(from), to.iter().map(shown).collect::<Vec<_>>().join(", "))
    };
    let left: Vec<String> = imports.iter().map(circle).collect();
    assert!(left.is_empty(), "files in a circle:\n{}", left.join("\n"));
}

#[test]
fn no_folder_has_more_than_fifteen_source_files_and_no_file_more_than_400_lines() {
    let mut wrong = Vec::new();
    let mut lengths = Vec::new();
    for folder in ["src", "bin", "tests", "benches", "train", "zarrs-check"] {
        let folder = repository().join(folder);
        if !folder.is_dir() {
            continue;
        }
        let mut in_folder: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for file in rust_files(&folder) {
            let n = fs::read_to_string(&file).unwrap().lines().count();
            lengths.push(n);
            *in_folder.entry(file.parent().unwrap().to_owned()).or_default() += 1;
            if n > 400 {
                wrong.push(format!("{}: {n} lines", file.display()));
            }
        }
        let full = in_folder.into_iter().filter(|(dir, n)| *n > 15 && dir.components().any(|c| c.as_os_str() == "src"));
        wrong.extend(full.map(|(dir, n)| format!("{}: {n} files", dir.display())));
    }
    lengths.sort_unstable();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lengths[lengths.len() / 2] < 150, "the median is {}", lengths[lengths.len() / 2]);
}

#[test]
fn the_reading_of_paths_sees_trees_inline_paths_and_macros() {
    let mentions = Mentions::of(
        "use crate::a::{self, b::{C, D as E}, f}; fn g() { let x = super::h::I::new(crate::j::k); print!(\"{}\", self::l::M); }
         #[cfg(test)] mod tests { use crate::never::Seen; }",
    );
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    for seen in ["crate::a::self", "crate::a::b::C", "crate::a::f", "super::h::I::new", "crate::j::k", "self::l::M"] {
        assert!(mentions.paths.contains(&path(seen)), "{seen} in {:?}", mentions.paths);
    }
    assert!(!mentions.paths.contains(&path("crate::never::Seen")));
    assert!(mentions.test_modules.contains("tests"));
}
