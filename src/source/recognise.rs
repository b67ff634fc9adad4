//! Which layout a tree has. What tells of labels (the CSVs that such data sets come with, the folders of their images)
//! is either used or a reason to refuse: a tree with labels is never taken for one without.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{self, Found, Links};

use super::config::SourceConfig;
use super::labels::{has_kaggle_csv, table_in};
use super::layout::{KAGGLE_CSVS, KAGGLE_FOLDERS, Layout, RXRX_AI_CSVS, RXRX_AI_FOLDER};
use super::names;
use super::pattern::PresetTables;
use super::tree;
use super::zarr::Node;

/// How such tables arrive when nobody unpacked them.
const PACKED: [&str; 8] = ["gz", "zip", "bz2", "xz", "zst", "7z", "tgz", "tar"];
/// Tables that have another name when they are unpacked: RxRx19a's as it is downloaded.
const PACKED_AS: [(&str, &str); 1] = [("rxrx19a-metadata", RXRX_AI_CSVS[0])];
/// What is shown of what is in sight.
const EXAMPLES: usize = 4;

/// Something in sight that tells of labels.
#[derive(Debug, PartialEq, Eq)]
struct Sign {
    path: PathBuf,
    kind: SignKind,
}

#[derive(Debug, PartialEq, Eq)]
enum SignKind {
    /// A table, by the name that it has unpacked.
    Table { name: &'static str, is_packed: bool },
    /// A folder of images.
    Folder,
    /// A plate of OME-Zarr, which is a source by itself.
    Zarr,
}

/// The layout of a tree: what the user says it is, or what all that is in sight agrees on.
///
/// # Errors
/// If there is something in sight that the layout would not use, or `--metadata` names CSVs that it has none of.
pub(super) fn layout(config: &SourceConfig) -> Result<Layout> {
    let layout = told_or_recognised(config)?;
    if config.without_labels {
        check_without_labels(config, layout)?;
    }
    // Who says `--layout` of one that comes with tables, or of one that has none, says what of them counts.
    if config.layout.is_none() || layout.is_described() {
        check_all_is_used(config, layout)?;
    }
    if layout == Layout::Bare && config.metadata.is_some() {
        let found = config.metadata.as_deref().unwrap_or(&config.root);
        return Err(Error::refused("--metadata", "a folder with CSVs of a known layout", found.display()));
    }
    Ok(layout)
}

/// Refuses to leave labels alone where a layout has them or somebody names them.
fn check_without_labels(config: &SourceConfig, layout: Layout) -> Result<()> {
    let flag = "--no-labels";
    if !layout.is_described() {
        let expected = "images that --layout, --pattern or --table describes (--layout bare has no labels)";
        return Err(Error::refused(flag, expected, format!("the {} layout", layout.name())));
    }
    let named = config.metadata.as_ref().map(|_| "--metadata").or(config.labels.given().filter(|flag| *flag != "--on"));
    named.map_or(Ok(()), |named| Err(Error::refused(flag, format!("it, or {named}"), "both")))
}

/// Refuses a tree in which something tells of labels and is not used.
fn check_all_is_used(config: &SourceConfig, layout: Layout) -> Result<()> {
    // Who names the labels of described images names all of them.
    let are_named = config.metadata.is_some() || config.labels.tell_labels() || config.without_labels;
    if layout.is_described() && are_named {
        return Ok(());
    }
    let root = config.root.as_path();
    let metadata = config.metadata.as_deref().unwrap_or(root);
    let real = |path: &Path| files::resolve(path).ok().flatten();
    let table = config.table.as_deref().and_then(real);
    let mut unused = Vec::new();
    for sign in in_sight(root, metadata, layout)? {
        let counts = match sign.kind {
            // Of described images names tell all, whatever folders they are in.
            SignKind::Folder => !layout.is_described() && tree::has_plates(&sign.path),
            SignKind::Zarr => !layout.is_described(),
            SignKind::Table { .. } => table.is_none() || real(&sign.path) != table,
        };
        if counts && !is_used(&sign, root, metadata, layout) {
            unused.push(sign);
        }
    }
    let plates: Vec<&Sign> = unused.iter().filter(|sign| sign.kind == SignKind::Zarr).collect();
    if let Some(first) = plates.first() {
        let expected = format!("a plate of OME-Zarr by itself, as --src {}", first.path.display());
        let found = plates.iter().take(EXAMPLES).map(|sign| sign.path.display().to_string()).collect::<Vec<_>>();
        let more =
            if plates.len() > EXAMPLES { format!(" and {} more", plates.len() - EXAMPLES) } else { String::new() };
        let expected = format!("{expected}, a run each (--layout {} packs what is beside them)", layout.name());
        let expected = format!("{expected}, where --experiment tells plates of one name apart");
        return Err(Error::refused(root.display(), expected, format!("{}{more}", found.join(", "))));
    }
    if unused.is_empty() { Ok(()) } else { Err(refusal(config, metadata, layout, &unused)?) }
}

fn told_or_recognised(config: &SourceConfig) -> Result<Layout> {
    let described =
        [("--pattern", config.pattern.is_some(), Layout::Pattern), ("--table", config.table.is_some(), Layout::Table)];
    let mut described = described.into_iter().filter(|(_, is_given, _)| *is_given);
    if let Some((flag, _, layout)) = described.next() {
        let layout_of_it = || match (layout, Node::of(&config.root)?) {
            (Layout::Table, Some(Node::Array(_))) => Ok(Layout::Zarr),
            _ => Ok(layout),
        };
        return match (config.layout, described.next()) {
            (None, None) => layout_of_it(),
            (Some(Layout::Zarr), None) if layout == Layout::Table => Ok(Layout::Zarr),
            (Some(other), _) => {
                Err(Error::refused(flag, "no --layout beside it: each says what images are", other.name()))
            }
            (None, Some((other, ..))) => Err(Error::refused(flag, "it alone: each says what images are", other)),
        };
    }
    if let Some(layout) = config.layout {
        if let (Layout::Bare, Some(metadata)) = (layout, &config.metadata) {
            return Err(Error::refused("--metadata", "no CSVs, as --layout bare has none", metadata.display()));
        }
        if let (Layout::Kaggle, Some(metadata)) = (layout, &config.metadata)
            && files::is_file(metadata)?
        {
            return Err(Error::refused("--metadata", "a folder with Kaggle's four CSVs", metadata.display()));
        }
        return Ok(layout);
    }
    let root = config.root.as_path();
    match Node::of(root)? {
        None => {}
        Some(Node::Plate(_)) => return Ok(Layout::OmeZarr),
        found => {
            let expected = "a tree of images, or a plate of OME-Zarr";
            return Err(Error::refused(root.display(), expected, Node::shown(found.as_ref())));
        }
    }
    let metadata = config.metadata.as_deref().unwrap_or(root);
    if files::is_file(metadata)? && !files::is_dir(&root.join(RXRX_AI_FOLDER))? {
        let expected = format!("a table of the plates in {RXRX_AI_FOLDER}/ of {}", root.display());
        return Err(Error::refused("--metadata", expected, format!("{}, and no such folder", metadata.display())));
    }
    layout_of(root, metadata)
}

/// The layout by the folders in `root` and the CSVs in `metadata`.
fn layout_of(root: &Path, metadata: &Path) -> Result<Layout> {
    let has_folder = |name: &str| files::is_dir(&root.join(name));
    if has_kaggle_csv(metadata)? && (has_folder(KAGGLE_FOLDERS[0])? || has_folder(KAGGLE_FOLDERS[1])?) {
        return Ok(Layout::Kaggle);
    }
    let is_rxrx_ai = has_folder(RXRX_AI_FOLDER)? && table_in(metadata)?.is_some();
    Ok(if is_rxrx_ai { Layout::RxrxAi } else { Layout::Bare })
}

/// All that tells of labels: below the root, in the folder of the CSVs, and, for a tree without any, one folder up.
fn in_sight(root: &Path, metadata: &Path, layout: Layout) -> Result<Vec<Sign>> {
    let mut signs = Vec::new();
    let start = root.to_owned();
    let is_entered = move |dir: &Found| match layout {
        // What is below are arrays.
        Layout::OmeZarr | Layout::Zarr => false,
        Layout::RxRx1Zarr if dir.path.extension().is_some_and(|extension| extension == "zarr") => false,
        _ if layout.is_described() => !names::is_of_system(dir) && !names::is_of_store(dir),
        _ if is_ome_plate(dir) => false,
        _ => names::is_entered(&start, dir),
    };
    for found in files::walk_into(root, 1..=usize::MAX, Links::Follow, is_entered) {
        match found {
            Ok(found) => signs.extend(Sign::of(&found)),
            // Whoever looks for images meets it again, and tells it.
            Err(Error::Io { path, .. }) if path != root => {}
            Err(error) => return Err(error),
        }
    }
    let mut beside = Vec::new();
    if metadata != root && !files::is_file(metadata)? {
        beside.push(metadata.to_owned());
    }
    let has_own = || signs.iter().any(|sign: &Sign| is_used(sign, root, metadata, layout));
    if layout == Layout::Bare || (layout.is_described() && !has_own()) {
        let real = files::resolve(root)?;
        beside.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
    }
    for dir in beside {
        // What another folder holds that cannot be looked at is not in sight; this one alone is asked for.
        let found = files::walk(&dir, 1..=1, Links::Follow).flatten();
        let signs_beside = found.filter_map(|found| Sign::of(&found));
        signs.extend(signs_beside.filter(|sign| matches!(sign.kind, SignKind::Table { .. })));
    }
    Ok(signs)
}

impl Sign {
    fn of(found: &Found) -> Option<Self> {
        let name = found.name()?.to_ascii_lowercase();
        let kind = if found.is_dir() {
            let is_known = KAGGLE_FOLDERS.contains(&name.as_str()) || name == RXRX_AI_FOLDER;
            let zarr = || is_ome_plate(found).then_some(SignKind::Zarr);
            is_known.then_some(SignKind::Folder).or_else(zarr)
        } else {
            let known = |name: &str| KAGGLE_CSVS.into_iter().chain(RXRX_AI_CSVS).find(|known| *known == name);
            let packed_as =
                |stem: &str| PACKED_AS.into_iter().find_map(|(packed, name)| (packed == stem).then_some(name));
            let packed = || {
                let (stem, kind) = name.rsplit_once('.')?;
                let known = || known(stem).or_else(|| known(&format!("{stem}.csv"))).or_else(|| packed_as(stem));
                PACKED.contains(&kind).then(known)?
            };
            let plain = known(&name).map(|name| (name, false));
            let (name, is_packed) = plain.or_else(|| packed().map(|name| (name, true)))?;
            // `train.zip` is what Kaggle calls the images; their folder tells whether they were unpacked.
            let is_named = found.name()?.to_ascii_lowercase().contains(".csv");
            let is_images = is_packed && !is_named && KAGGLE_CSVS.contains(&name);
            (!is_images).then_some(SignKind::Table { name, is_packed })
        };
        // A store's own tables are of its sites.
        let is_of_store = || found.path.parent().is_some_and(names::is_store);
        let kind = kind.filter(|kind| !matches!(kind, SignKind::Table { .. }) || !is_of_store())?;
        Some(Self { path: found.path.clone(), kind })
    }
}

/// Whether a folder is a plate of OME-Zarr by its name and its document.
fn is_ome_plate(found: &Found) -> bool {
    let is_named = found.path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zarr"));
    found.is_dir() && is_named && matches!(Node::of(&found.path), Ok(Some(Node::Plate(_))))
}

/// Whether a layout makes use of it, or of the same unpacked.
fn is_used(sign: &Sign, root: &Path, metadata: &Path, layout: Layout) -> bool {
    let (tables, folders): (&[&[&str]], &[&str]) = match layout {
        Layout::Kaggle => (&[&KAGGLE_CSVS], &KAGGLE_FOLDERS),
        Layout::RxrxAi => (&[&RXRX_AI_CSVS], &[RXRX_AI_FOLDER]),
        Layout::RxRx1Zarr => (&[&KAGGLE_CSVS, &RXRX_AI_CSVS], &[]),
        Layout::Preset(preset) => match preset.tables() {
            PresetTables::None => (&[], &[]),
            PresetTables::Kaggle => (&[&KAGGLE_CSVS], &[]),
            PresetTables::RxrxAi => (&[&RXRX_AI_CSVS], &[]),
        },
        Layout::Bare | Layout::Pattern | Layout::Table | Layout::OmeZarr | Layout::Zarr => (&[], &[]),
    };
    match sign.kind {
        SignKind::Zarr => false,
        SignKind::Folder => folders.iter().any(|folder| {
            // It may be what a link in its place leads to.
            let leads_there = |real: &Path| files::resolve(&sign.path).is_ok_and(|own| own.as_deref() == Some(real));
            let place = root.join(folder);
            sign.path.starts_with(&place)
                || files::resolve(&place).is_ok_and(|real| real.is_some_and(|r| leads_there(&r)))
        }),
        // One of the same name elsewhere is not meant: a part of the one that is used, or what it was unpacked from.
        // Beside a table that is named itself, no other of its kind is.
        SignKind::Table { name, .. } => {
            let is_file = |path: &Path| files::is_file(path).unwrap_or(false);
            let is_its_own = tables.iter().any(|names| names.contains(&name));
            is_its_own && (is_file(metadata) || is_file(&metadata.join(name)))
        }
    }
}

fn refusal(config: &SourceConfig, metadata: &Path, layout: Layout, unused: &[Sign]) -> Result<Error> {
    let root = config.root.as_path();
    let mut names: Vec<String> = unused.iter().map(|sign| sign.path.display().to_string()).collect();
    let more = names.len().saturating_sub(EXAMPLES);
    names.truncate(EXAMPLES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (as_what, without) = match (layout, &config.metadata) {
        (Layout::Kaggle, _) => (" beside the kaggle layout".to_owned(), "--layout kaggle"),
        (Layout::RxrxAi, _) => (" beside the rxrx.ai layout".to_owned(), "--layout rxrx.ai"),
        (layout, _) if layout.is_described() => (format!(" beside the {} layout", layout.name()), "--no-labels"),
        (_, Some(_)) => (String::new(), "--layout bare without --metadata"),
        (_, None) => (String::new(), "--layout bare"),
    };
    let advice = advice(root, metadata, layout, unused)?;
    let expected = format!("a tree whose labels are all used: {advice}; {without} does without them");
    Ok(Error::refused(root.display(), expected, format!("{}{more}{as_what}, unused", names.join(", "))))
}

/// The name that a folder in the root should have.
fn misspelled<'s>(sign: &'s Sign, root: &Path) -> Option<(&'s Sign, &'static str)> {
    let name = sign.path.file_name()?.to_str()?;
    let known = KAGGLE_FOLDERS.into_iter().chain([RXRX_AI_FOLDER]).find(|known| known.eq_ignore_ascii_case(name))?;
    (sign.kind == SignKind::Folder && sign.path.parent() == Some(root) && name != known).then_some((sign, known))
}

/// What makes use of what is in sight.
fn advice(root: &Path, metadata: &Path, layout: Layout, unused: &[Sign]) -> Result<String> {
    let is_packed = |sign: &&Sign| matches!(sign.kind, SignKind::Table { is_packed: true, .. });
    if let Some(packed) = unused.iter().find(is_packed) {
        return Ok(format!("unpack {}", packed.path.display()));
    }
    let tables: Vec<&Sign> = unused.iter().filter(|sign| sign.kind != SignKind::Folder).collect();
    let dirs: Vec<&Path> = tables.iter().filter_map(|table| table.path.parent()).collect();
    let Some(&dir) = dirs.first() else {
        return Ok("the CSVs beside them (were they lost?)".to_owned());
    };
    if layout.is_described() {
        let is_of_kaggle = matches!(tables[0].kind, SignKind::Table { name, .. } if KAGGLE_CSVS.contains(&name));
        let labels = if is_of_kaggle { dir } else { &tables[0].path };
        return Ok(format!("--labels {}", labels.display()));
    }
    if layout != Layout::Bare {
        let csvs: &[&str] = if layout == Layout::Kaggle { &KAGGLE_CSVS } else { &RXRX_AI_CSVS };
        let is_of_it = |sign: &&&Sign| matches!(sign.kind, SignKind::Table { name, .. } if csvs.contains(&name));
        return Ok(match tables.iter().find(is_of_it) {
            Some(table) => format!("{} in {}, where the others are", table.path.display(), metadata.display()),
            None => format!("{} elsewhere, or the tree that it belongs to", tables[0].path.display()),
        });
    }
    // Other spellings of a layout's folder beside its CSVs.
    if let Some((sign, name)) = unused.iter().find_map(|sign| misspelled(sign, root)) {
        return Ok(format!("{} renamed to {name}", sign.path.display()));
    }
    let mut trees: Vec<&Path> = Vec::new();
    for dir in dirs.iter().copied().filter(|dir| *dir != root) {
        if metadata == root && !trees.contains(&dir) && layout_of(dir, dir)? != Layout::Bare {
            trees.push(dir);
        }
        if dir != metadata && layout_of(root, dir)? != Layout::Bare {
            return Ok(format!("--metadata {}", dir.display()));
        }
    }
    let shown = trees.iter().map(|tree| tree.display().to_string()).collect::<Vec<_>>().join(", then ");
    let beside = tree::plates_beside(root, &trees);
    match (trees.len(), beside) {
        (0, _) => {}
        (1, None) => return Ok(format!("--src {shown}")),
        (_, None) => return Ok(format!("one after the other, --src {shown}")),
        (_, Some(plate)) => return Ok(format!("--src {shown}, which leaves {} out", plate.display())),
    }
    let of = "the folders of experiments in train/ or test/ for Kaggle's four CSVs, in images/ for metadata.csv";
    Ok(if dir == root { of.to_owned() } else { format!("{of}, and --metadata {}", dir.display()) })
}
