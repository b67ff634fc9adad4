//! `inspect`: what a store holds, as a summary, pictures, plate maps and a page; and runs side by side.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Command, CommandFactory, Parser};

use crate::cli::looks::{By, MapFlag, contrast, scheme};
use crate::cli::report::inspect as report;
use crate::cli::{self, Code, Exit, MaybeAt, Progress, Shards};
use crate::error::{Error, Result};
use crate::feed::{Io, Reader, Verify};
use crate::files::{self, WholeFile};
use crate::inspect::drawing::picture::Picture;
use crate::inspect::plate_map::{MapBy, Maps, Value, maps_picture, maps_text};
use crate::inspect::run_page::{experiments_of, read_runs, runs_page};
use crate::inspect::schemes::SCHEMES;
use crate::inspect::sheet::{Replicates, bands, sheet};
use crate::inspect::site_picture::{Contrast, site_picture, windows};
use crate::inspect::store_page::{gather, store_page};
use crate::inspect::summary::Summary;
use crate::site::{PlateId, SiteId};
use crate::stats::Grouping;
use crate::store::Store;
use crate::store::format::names::PIXELS;
use crate::training::recipe::Normalize;

/// Look at a store or at runs: a summary, pictures, maps, a page
///
/// Without a flag it says what a store holds. With one it draws a site, the replicates of a treatment, or plates; or it
/// writes all of it as a page that a browser opens and that needs nothing from elsewhere.
#[derive(Parser)]
#[command(name = "inspect", version, group = ArgGroup::new("what"))]
struct Args {
    #[command(flatten)]
    store: MaybeAt<Shards>,
    /// Lines: cell-type (default), experiment or plate
    ///
    /// What the lines of the summary are
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "cell-type",
        hide_possible_values = true,
        hide_default_value = true,
        conflicts_with = "what"
    )]
    by: By,
    /// Draw a site, such as HEPG2-08/1/B02/1
    ///
    /// Its channels side by side, each with the grey levels that are black and white, and all of them in their colours
    #[arg(long, value_name = "SITE", group = "what", requires = "out", value_parser = SiteId::as_written)]
    site: Option<SiteId>,
    /// Draw all replicates of a treatment
    ///
    /// By its name in metadata.csv, as they are and after each normalisation: what batches change
    #[arg(long, value_name = "TREATMENT", group = "what", requires = "out")]
    sheet: Option<String>,
    /// Show plates as maps, such as HEPG2-08/1,HEPG2-08/2
    ///
    /// Side by side, in the terminal, or with --out as a picture
    #[arg(long, value_name = "PLATES", group = "what", value_delimiter = ',')]
    plate: Vec<PlateId>,
    /// Compare runs: what came of them, what differs
    ///
    /// Run folders of train; with --html as a page with their curves, and with STORE with pictures of what is confused
    #[arg(long, value_name = "RUNS", num_args = 1.., value_delimiter = ',', conflicts_with_all = ["site", "sheet", "plate", "by"])]
    runs: Vec<PathBuf>,
    /// Write a page of all of it into this folder
    ///
    /// Of a store counts, plate maps, what batches change, sites that stand out and replicates; index.html is all of it
    #[arg(long, value_name = "DIR", help_heading = "Output", conflicts_with_all = ["site", "sheet", "plate", "by"])]
    html: Option<PathBuf>,
    /// Write the picture here, as PNG
    #[arg(long, value_name = "FILE", requires = "what", help_heading = "Output", conflicts_with = "html")]
    out: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long, conflicts_with_all = ["what", "runs", "html"], help_heading = "Output")]
    json: bool,
    /// With --plate: population (default), treatment, control, mean, ...
    ///
    /// What a well's colour is. Focus, saturated and damage read every site of the plates
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "population",
        requires = "plate",
        hide_default_value = true,
        help_heading = "Looks",
        hide_short_help = true
    )]
    colour: MapFlag,
    /// With --plate: the channel, by number or name
    #[arg(
        long,
        value_name = "CHANNEL",
        default_value = "1",
        requires = "plate",
        help_heading = "Looks",
        hide_short_help = true
    )]
    channel: String,
    /// With --site: percentiles, controls, or two levels as in 0-255
    ///
    /// Which grey levels are black and white: those at the percentiles 0.5 and 99.7 of each channel, the same of the
    /// controls of its plate, or the same two for every channel
    #[arg(long, value_name = "CONTRAST", default_value = "percentiles", requires = "site", value_parser = contrast,
        help_heading = "Looks", hide_short_help = true)]
    contrast: Contrast,
    /// With --sheet: the normalisations that are shown [default: all that the store's controls allow]
    #[arg(long, value_name = "NAMES", requires = "sheet", value_delimiter = ',', value_parser = scheme,
        help_heading = "Looks", hide_short_help = true)]
    normalize: Vec<Normalize>,
    /// Pixels that a tile is wide at most, 32 to 4096 [default: 512 of a site, 144 of a sheet]
    #[arg(long, value_name = "PIXELS", requires = "out", value_parser = clap::value_parser!(u32).range(32..=4096),
        help_heading = "Looks", hide_short_help = true)]
    tile: Option<u32>,
    /// With --html: read the tables alone, and no site: no focus, no saturation, no pictures
    #[arg(long, requires = "html", conflicts_with = "runs", hide_short_help = true)]
    quick: bool,
    /// Threads [default: one a core]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    threads: Option<usize>,
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    cli::framed(Args::command()).mut_arg("STORE", |argument| argument.required_unless_present_any(["runs", "shards"]))
}

/// Runs it.
pub fn main() -> Code {
    cli::run("inspect", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse(&command())?;
    cli::limit_threads(args.threads)?;
    cli::when_interrupted("nothing was changed; run it again");
    if !args.runs.is_empty() {
        return runs(&args);
    }
    let root = args.store.path().unwrap_or(Path::new("."));
    if let Some(folder) = &args.html {
        return page(&args, root, folder);
    }
    if let Some(path) = &args.out {
        // Tried before the work, not after it.
        return save(path, &|| draw(&args, root));
    }
    if !args.plate.is_empty() {
        let maps = maps(&args, root)?;
        let colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let text = maps_text(&maps, report::width(), colours);
        cli::show(stdout().write_all(text.as_bytes()).map_err(Into::into))?;
        return Ok(exit_of(&maps));
    }
    let (grouping, heading) = args.by.grouping();
    let summary = Summary::of(root, grouping)?;
    if args.json {
        cli::show(cli::report::print_json("inspect", &summary))?;
    } else {
        cli::show(report::summary(&summary, root, heading))?;
    }
    Ok(if summary.finished { Exit::Success } else { Exit::Faults })
}

fn reader(store: Store) -> Reader {
    Reader::new(store, Io::Pread, Verify::First)
}

/// What is drawn, and whether it shows damage.
fn draw(args: &Args, root: &Path) -> Result<(Picture, Exit)> {
    if !args.plate.is_empty() {
        let maps = maps(args, root)?;
        return Ok((maps_picture(&maps)?, exit_of(&maps)));
    }
    let store = Store::open(root)?;
    let picture = if let Some(id) = &args.site {
        let none = || Error::NoSuchSite { path: root.to_owned(), site: id.shown() };
        let index = store.index_of(id).ok_or_else(none)?;
        let reader = reader(store);
        let pixels = reader.site(index)?;
        let (store, site) = (reader.store(), &reader.store().sites()[index]);
        let windows = windows(store, site, &pixels, args.contrast)?;
        site_picture(store, site, &pixels, &windows, args.tile.unwrap_or(512))?
    } else {
        let replicates = Replicates::find(&store, args.sheet.as_deref().unwrap_or_default())?;
        let schemes = if args.normalize.is_empty() { &SCHEMES[..] } else { &args.normalize };
        let reader = reader(store);
        let bands = bands(&reader, &replicates, schemes, args.tile.unwrap_or(144))?;
        sheet(reader.store(), &replicates, &bands)?
    };
    Ok((picture, Exit::Success))
}

/// Draws, and writes the picture whole or not at all.
fn save(path: &Path, draw: &dyn Fn() -> Result<(Picture, Exit)>) -> anyhow::Result<Exit> {
    if path.extension().is_none_or(|extension| extension != "png") {
        return Err(Error::refused("--out", "a file whose name ends in .png", path.display()).into());
    }
    outside_of_stores(path)?;
    let file = WholeFile::create(path)?;
    let (picture, exit) = draw()?;
    file.finish_with(&picture.png()?)?;
    let written = format!("written    {} ({} x {} pixels)", path.display(), picture.width(), picture.height());
    cli::show(writeln!(cli::screen(), "{written}").map_err(Into::into))?;
    Ok(exit)
}

fn maps(args: &Args, root: &Path) -> Result<Maps> {
    let store = Store::open(root)?;
    let channel = channel(&store, &args.channel)?;
    let reader = reader(store);
    let by = args.colour.into();
    let bar = matches!(by, MapBy::Damage | MapBy::Channel(Value::Focus | Value::Saturated)).then(|| {
        let bar = Progress::new("inspect", "sites");
        bar.set_total(args.plate.iter().filter_map(|plate| reader.store().plates().get(plate)).sum::<usize>() as u64);
        bar
    });
    Maps::of(&reader, &args.plate, by, channel, &|n| {
        if let Some(bar) = &bar {
            bar.add(n);
        }
    })
}

fn exit_of(maps: &Maps) -> Exit {
    if maps.has_damage { Exit::Faults } else { Exit::Success }
}

/// Refuses a place in a store: what is not its own is damage to `verify`, and what is would be lost.
fn outside_of_stores(path: &Path) -> Result<()> {
    let path = files::follow_links(path)?;
    let real = path.ancestors().find_map(|above| files::resolve(above).transpose()).transpose()?;
    let here = files::resolve(Path::new("."))?;
    for folder in real.or(here).iter().flat_map(|real| real.ancestors()) {
        if files::is_dir(&folder.join(PIXELS))? {
            return Err(Error::refused(path.display(), "a place outside of a store", folder.display()));
        }
    }
    Ok(())
}

/// Writes the page of a store, whole or not at all.
fn page(args: &Args, root: &Path, folder: &Path) -> anyhow::Result<Exit> {
    let summary = Summary::of(root, Grouping::CellType)?;
    let reader = reader(Store::open(root)?);
    let file = new_page(folder)?;
    let bar = Progress::new("inspect", "sites");
    let gathered = gather(&reader, !args.quick, &|progress| bar.see(progress))?;
    let page = store_page(&reader, &summary, &gathered, &title(root)?)?;
    drop(bar);
    finish_page(file, &page.html)?;
    let is_whole = summary.finished && page.n_damaged == 0;
    if !is_whole {
        let [sites, files] =
            [(page.n_damaged, "site"), (summary.n_missing, "file")].map(|(n, noun)| cli::plural(n as u64, noun));
        let text = match (page.n_damaged, summary.n_missing) {
            (0, _) => format!("damage     {files} missing or damaged; cellshard verify tells all"),
            _ => format!("damage     {sites} that cannot be read; cellshard verify tells all"),
        };
        cli::show(writeln!(cli::screen(), "{text}").map_err(Into::into))?;
    }
    Ok(if is_whole { Exit::Success } else { Exit::Faults })
}

/// Compares runs, as a table or as a page.
fn runs(args: &Args) -> anyhow::Result<Exit> {
    let runs = read_runs(&args.runs)?;
    let Some(folder) = &args.html else {
        if let Some(store) = args.store.path() {
            let expected = "--html DIR, for the pictures of a page, where a store is given with --runs";
            return Err(Error::refused(store.display(), expected, "none").into());
        }
        cli::show(report::runs(&runs))?;
        return Ok(Exit::Success);
    };
    let reader = args.store.path().map(Store::open).transpose()?.map(reader);
    let known = reader.as_ref().map(|reader| experiments_of(&runs, reader.store()));
    if let Some((reader, known)) = reader.as_ref().zip(known.as_ref())
        && known.is_empty()
    {
        let expected = "the store that the runs learned from, or one with an experiment of it as it was";
        return Err(Error::refused(reader.store().root().display(), expected, "another").into());
    }
    let file = new_page(folder)?;
    let names: Vec<String> = args.runs.iter().map(|root| title(root)).collect::<Result<_>>()?;
    let title = names.join(", ");
    finish_page(file, &runs_page(&runs, reader.as_ref().zip(known.as_ref()), &title)?)?;
    Ok(Exit::Success)
}

fn new_page(folder: &Path) -> Result<WholeFile> {
    outside_of_stores(folder)?;
    files::create_dirs(folder)?;
    WholeFile::create(&folder.join("index.html"))
}

fn finish_page(file: WholeFile, html: &str) -> anyhow::Result<()> {
    let written = format!("written    {} ({})", file.path().display(), cli::bytes(html.len() as u64));
    file.finish_with(html.as_bytes())?;
    cli::show(writeln!(cli::screen(), "{written}").map_err(Into::into))
}

/// The name of a folder.
fn title(folder: &Path) -> Result<String> {
    let real = files::resolve(folder)?.unwrap_or_else(|| folder.to_owned());
    Ok(real.file_name().map_or_else(|| "store".into(), |name| name.to_string_lossy()).into_owned())
}

/// A channel by its number, from 1, or by its name.
fn channel(store: &Store, text: &str) -> Result<usize> {
    let channels = &store.spec().channels;
    let by_number = text.parse::<usize>().ok().filter(|number| (1..=channels.len()).contains(number));
    let by_name = || channels.iter().position(|channel| channel.name == text);
    by_number.map(|number| number - 1).or_else(by_name).ok_or_else(|| {
        let expected = format!("1 to {}, or a name", channels.len());
        crate::suggest::unknown("--channel", &expected, text, channels.iter().map(|channel| channel.name.as_str()))
    })
}
