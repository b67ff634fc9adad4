//! `inspect`: what a store holds, as a summary, pictures, plate maps and a page.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Command, CommandFactory, Parser, ValueEnum};

use crate::cli::report::inspect as report;
use crate::cli::{self, Exit, Progress};
use crate::error::{Error, Result};
use crate::feed::{Io, Reader, Verify};
use crate::files::{self, WholeFile};
use crate::inspect::drawing::picture::Picture;
use crate::inspect::drawing::render::Window;
use crate::inspect::plate_map::maps_picture;
use crate::inspect::plate_map::maps_text;
use crate::inspect::plate_map::{MapBy, Maps, Value};
use crate::inspect::schemes::SCHEMES;
use crate::inspect::sheet::{Replicates, bands, sheet};
use crate::inspect::site_picture::{Contrast, site_picture, windows};
use crate::inspect::store_page::{self, gather, store_page};
use crate::inspect::summary::Summary;
use crate::memory;
use crate::site::{ParseError, PlateId, SiteId};
use crate::stats::Grouping;
use crate::store::Store;
use crate::training::recipe::Normalize;

/// Look at a store: what it holds, its sites as pictures, its plates as maps, all of it as a page
#[derive(Parser)]
#[command(name = "inspect", version, after_help = cli::EXIT_CODES, group = ArgGroup::new("what"))]
struct Args {
    /// The store
    store: PathBuf,
    /// What the lines of the summary are
    #[arg(long, default_value = "cell-type", conflicts_with = "what")]
    by: By,
    /// Draw a site, such as HEPG2-08/1/B02/1: its channels side by side and in their colours
    #[arg(long, value_name = "SITE", group = "what", requires = "out")]
    site: Option<SitePlace>,
    /// Draw all replicates of a treatment, by its name in metadata.csv, before and after each normalisation
    #[arg(long, value_name = "TREATMENT", group = "what", requires = "out")]
    sheet: Option<String>,
    /// Draw maps of these plates side by side, such as HEPG2-08/1,HEPG2-08/2; in the terminal, or by --out as a picture
    #[arg(long, value_name = "PLATES", group = "what", value_delimiter = ',')]
    plate: Vec<PlateId>,
    /// Write a page of all of it into this folder: counts, plate maps, what batches change, sites that are odd
    #[arg(long, value_name = "DIR", group = "what")]
    html: Option<PathBuf>,
    /// With --html: read the tables alone, and no site: no focus, no saturation, no pictures
    #[arg(long, requires = "html")]
    quick: bool,
    /// Write the picture here, as PNG
    #[arg(long, value_name = "FILE", requires = "what")]
    out: Option<PathBuf>,
    /// What a plate map is coloured by; focus, saturated and damage read every site of the plate
    #[arg(long, value_name = "WHAT", default_value = "population", requires = "plate")]
    colour: MapFlag,
    /// The channel of a plate map, by number or name
    #[arg(long, value_name = "CHANNEL", default_value = "1", requires = "plate")]
    channel: String,
    /// Which grey levels of a site are black and white: percentiles (0.5 and 99.7 of each channel), controls (the same of
    /// the controls of its plate), or two levels, such as 0-255
    #[arg(long, value_name = "CONTRAST", default_value = "percentiles", requires = "site", value_parser = contrast)]
    contrast: Contrast,
    /// Normalisations of a sheet [default: all that the store's controls allow]
    #[arg(long, value_name = "NAMES", requires = "sheet", value_delimiter = ',', value_parser = scheme)]
    normalize: Vec<Normalize>,
    /// Pixels that a tile is wide at most [default: 512 of a site, 144 of a sheet]
    #[arg(long, value_name = "PIXELS", requires = "out", value_parser = clap::value_parser!(u32).range(32..=4096))]
    tile: Option<u32>,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
    /// Print the summary as JSON
    #[arg(long, conflicts_with = "what")]
    json: bool,
}

/// A site as people write it.
#[derive(Debug, Clone)]
struct SitePlace(SiteId);

impl std::str::FromStr for SitePlace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let expected = "a site such as HEPG2-08/1/B02/1";
        let fail = || ParseError { expected, found: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        let [experiment, plate, well, site] = parts[..] else { return Err(fail()) };
        let site = site.parse().map_err(|_| fail())?;
        Ok(Self(SiteId::new(experiment, plate, well, site)?))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    CellType,
    Experiment,
    Plate,
}

#[derive(Clone, Copy, ValueEnum)]
enum MapFlag {
    /// Controls and treatments
    Population,
    /// The number of each well's class
    Treatment,
    /// Which positive control
    Control,
    /// Mean grey level of a channel
    Mean,
    /// Standard deviation of a channel
    Std,
    /// Median grey level of a channel
    Median,
    /// How sharp a channel is: Laplacian over spread
    Focus,
    /// Share of saturated pixels of a channel
    Saturated,
    /// What was left out, and what cannot be read
    Damage,
}

impl From<MapFlag> for MapBy {
    fn from(flag: MapFlag) -> Self {
        match flag {
            MapFlag::Population => Self::Population,
            MapFlag::Treatment => Self::Treatment,
            MapFlag::Control => Self::Control,
            MapFlag::Mean => Self::Channel(Value::Mean),
            MapFlag::Std => Self::Channel(Value::Std),
            MapFlag::Median => Self::Channel(Value::Median),
            MapFlag::Focus => Self::Channel(Value::Focus),
            MapFlag::Saturated => Self::Channel(Value::Saturated),
            MapFlag::Damage => Self::Damage,
        }
    }
}

fn contrast(text: &str) -> Result<Contrast, ParseError> {
    let fail =
        || ParseError { expected: "percentiles, controls, or two grey levels as in 0-255", found: text.to_owned() };
    match text {
        "percentiles" => Ok(Contrast::Percentiles),
        "controls" => Ok(Contrast::Controls),
        _ => {
            let (black, white) = text.split_once('-').ok_or_else(fail)?;
            let [black, white] = [black, white].map(|level| level.parse::<u16>().map_err(|_| fail()));
            let window = Window { black: black?.into(), white: white?.into() };
            if window.black < window.white { Ok(Contrast::Fixed(window)) } else { Err(fail()) }
        }
    }
}

fn scheme(text: &str) -> Result<Normalize, String> {
    let name = |scheme: &Normalize| -> &'static str { scheme.into() };
    let known = SCHEMES.iter().find(|scheme| name(scheme) == text);
    known.copied().ok_or_else(|| format!("expected one of {}", SCHEMES.iter().map(name).collect::<Vec<_>>().join(", ")))
}

/// Its flags.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs it.
#[must_use]
pub fn main() -> ExitCode {
    cli::run("inspect", body)
}

fn body() -> anyhow::Result<Exit> {
    let args: Args = cli::parse()?;
    cli::limit_threads(args.threads)?;
    if let Some(SitePlace(id)) = &args.site {
        let store = Store::open(&args.store)?;
        let index = store
            .index_of(id)
            .ok_or_else(|| Error::NoSuchSite { path: args.store.clone(), site: crate::inspect::places::place(id) })?;
        return save(&args, |args| draw_site(args, store, index));
    }
    if let Some(treatment) = &args.sheet {
        let store = Store::open(&args.store)?;
        let replicates = Replicates::find(&store, treatment)?;
        return save(&args, |args| {
            let schemes = if args.normalize.is_empty() { SCHEMES.to_vec() } else { args.normalize.clone() };
            let reader = Reader::new(store, Io::Pread, Verify::First);
            let bands = bands(&reader, &replicates, &schemes, args.tile.unwrap_or(144))?;
            sheet(reader.store(), &replicates, &bands)
        });
    }
    if !args.plate.is_empty() {
        return plates(&args);
    }
    if let Some(folder) = &args.html {
        return page(&args, folder);
    }
    let by = match args.by {
        By::CellType => Grouping::CellType,
        By::Experiment => Grouping::Experiment,
        By::Plate => Grouping::Plate,
    };
    let summary = Summary::of(&args.store, by)?;
    if args.json {
        cli::show(cli::report::print_json("inspect", &summary))?;
    } else {
        cli::show(report::summary(
            &summary,
            &args.store,
            args.by.to_possible_value().map_or("", |by| match by.get_name() {
                "cell-type" => "cell type",
                "experiment" => "experiment",
                _ => "plate",
            }),
        ))?;
    }
    Ok(if summary.finished { Exit::Success } else { Exit::Faults })
}

/// Draws, and writes the picture whole or not at all.
fn save(args: &Args, draw: impl FnOnce(&Args) -> Result<Picture>) -> anyhow::Result<Exit> {
    let path = args.out.as_deref().unwrap_or(Path::new("picture.png"));
    // Tried before the work, not after it.
    let file = WholeFile::create(path)?;
    let picture = draw(args)?;
    file.finish_with(&picture.png()?)?;
    let written = format!("written    {} ({} x {} pixels)", path.display(), picture.width(), picture.height());
    cli::show(writeln!(stdout(), "{written}").map_err(Into::into))?;
    Ok(Exit::Success)
}

fn draw_site(args: &Args, store: Store, index: usize) -> Result<Picture> {
    let mut pixels = memory::zeroed(store.spec().site_bytes(), "a site")?;
    let reader = Reader::new(store, Io::Pread, Verify::First);
    reader.read(index, &mut pixels)?;
    let (store, site) = (reader.store(), &reader.store().sites()[index]);
    let windows = windows(store, site, &pixels, args.contrast)?;
    site_picture(store, site, &pixels, &windows, args.tile.unwrap_or(512))
}

fn plates(args: &Args) -> anyhow::Result<Exit> {
    let store = Store::open(&args.store)?;
    let channel = channel(&store, &args.channel)?;
    let reader = Reader::new(store, Io::Pread, Verify::First);
    let file = args.out.as_deref().map(WholeFile::create).transpose()?;
    let bar = Progress::new("inspect", "sites");
    let by = args.colour.into();
    if matches!(by, MapBy::Damage | MapBy::Channel(Value::Focus | Value::Saturated)) {
        let n = args.plate.iter().filter_map(|plate| reader.store().plates().get(plate)).sum::<usize>();
        bar.set_total(n as u64);
    }
    let maps = Maps::of(&reader, &args.plate, by, channel, &|n| bar.add(n))?;
    drop(bar);
    match file {
        Some(file) => {
            let picture = maps_picture(&maps)?;
            let path = file.path().display().to_string();
            file.finish_with(&picture.png()?)?;
            let written = format!("written    {path} ({} x {} pixels)", picture.width(), picture.height());
            cli::show(writeln!(stdout(), "{written}").map_err(Into::into))?;
        }
        None => {
            let colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            let text = maps_text(&maps, report::width(), colours);
            cli::show(stdout().write_all(text.as_bytes()).map_err(Into::into))?;
        }
    }
    Ok(if by == MapBy::Damage && maps.has_damage() { Exit::Faults } else { Exit::Success })
}

/// Writes the page of a store, whole or not at all.
fn page(args: &Args, folder: &Path) -> anyhow::Result<Exit> {
    let summary = Summary::of(&args.store, Grouping::CellType)?;
    let reader = Reader::new(Store::open(&args.store)?, Io::Pread, Verify::First);
    files::create_dirs(folder)?;
    let path = folder.join("index.html");
    let file = WholeFile::create(&path)?;
    let bar = Progress::new("inspect", "sites");
    let gathered = gather(&reader, !args.quick, &|progress| match progress {
        store_page::Progress::Planned(n) => bar.set_total(n),
        store_page::Progress::Sites(n) => bar.add(n),
    })?;
    let page = store_page(&reader, &summary, &gathered, &title(&args.store)?)?;
    drop(bar);
    file.finish_with(page.html.as_bytes())?;
    let size = cli::bytes(page.html.len() as u64);
    let mut out = stdout();
    cli::show(writeln!(out, "written    {} ({size})", path.display()).map_err(Into::into))?;
    let is_whole = summary.finished && page.n_damaged == 0;
    if !is_whole {
        let found = cli::plural(page.n_damaged as u64, "site");
        cli::show(writeln!(out, "damage     {found} cannot be read; cellshard verify tells all").map_err(Into::into))?;
    }
    Ok(if is_whole { Exit::Success } else { Exit::Faults })
}

/// The name of a store's folder.
fn title(store: &Path) -> Result<String> {
    let real = files::resolve(store)?.unwrap_or_else(|| store.to_owned());
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
