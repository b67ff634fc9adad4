//! How `inspect` shows things, as flags.

use clap::ValueEnum;

use crate::inspect::drawing::render::Window;
use crate::inspect::plate_map::{MapBy, Value};
use crate::inspect::schemes::SCHEMES;
use crate::inspect::site_picture::Contrast;
use crate::site::ParseError;
use crate::stats::Grouping;
use crate::training::recipe::Normalize;

/// Lines of a summary.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum By {
    CellType,
    Experiment,
    Plate,
}

impl By {
    /// The grouping, and what its table is headed by.
    pub(super) fn grouping(self) -> (Grouping, &'static str) {
        match self {
            Self::CellType => (Grouping::CellType, "cell type"),
            Self::Experiment => (Grouping::Experiment, "experiment"),
            Self::Plate => (Grouping::Plate, "plate"),
        }
    }
}

/// What the colours of a plate map are.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum MapFlag {
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

/// Parses `--contrast`.
pub(super) fn contrast(text: &str) -> Result<Contrast, ParseError> {
    let expected = "percentiles, controls, or two grey levels as in 0-255";
    let fail = || ParseError { expected, found: text.to_owned() };
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

/// Parses one of `--normalize`.
pub(super) fn scheme(text: &str) -> Result<Normalize, String> {
    let name = |scheme: &Normalize| -> &'static str { scheme.into() };
    let known = SCHEMES.iter().find(|scheme| name(scheme) == text);
    known.copied().ok_or_else(|| format!("expected one of {}", SCHEMES.iter().map(name).collect::<Vec<_>>().join(", ")))
}
