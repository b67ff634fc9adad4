//! What can be wrong with a source, image, well or site of a store: the vocabulary that `pack` and `verify` report in.

use std::fmt;

use crate::error::shown;
use crate::site::{PlateId, Well, WellId};

/// The kinds of fault of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A row of the CSVs whose well or site has no image at all.
    NoImages,
    /// A well that lacks a site which other wells of its plate have.
    MissingSite,
    /// A site that lacks one of the channels.
    MissingChannel,
    /// A channel number that the other sites do not have.
    ExtraChannel,
    /// A file of zero bytes.
    Empty,
    /// An image that ends too early.
    Truncated,
    /// A PNG whose own CRC does not match its content.
    WrongCrc,
    /// Not an image, or one that cannot be decoded.
    Undecodable,
    /// An image of another size than the rest.
    WrongSize,
    /// An image of another type of pixels than the rest: of 16 bits among those of 8, signed, floating-point.
    WrongDtype,
    /// RGB, a palette and so on where grey is expected, or grey where RGB is.
    WrongColour,
    /// A file of several images: a stack, a time series.
    ManyPages,
    /// A chunk of an array of Zarr that is not there.
    MissingChunk,
    /// A file that the operating system could not read.
    Unreadable,
    /// Images of which the CSVs know nothing.
    NoRow,
    /// An image that no plate takes: its folder is none, or its name is not that of an image of a plate.
    NoPlate,
    /// A site beyond those that `--sites` says wells have.
    ExtraSite,
    /// A plate whose sums of products of channels do not fit 64 bits.
    Uncountable,
    /// A file of a source store's listings that is not what its list says.
    DamagedListing,
    /// A site of a source store that cannot be read as it was packed.
    DamagedSite,
}

impl FaultKind {
    /// All kinds, in order of report.
    pub const ALL: [Self; 20] = [
        Self::NoImages,
        Self::MissingSite,
        Self::MissingChannel,
        Self::ExtraChannel,
        Self::Empty,
        Self::Truncated,
        Self::WrongCrc,
        Self::Undecodable,
        Self::WrongSize,
        Self::WrongDtype,
        Self::WrongColour,
        Self::ManyPages,
        Self::MissingChunk,
        Self::Unreadable,
        Self::NoRow,
        Self::NoPlate,
        Self::ExtraSite,
        Self::Uncountable,
        Self::DamagedListing,
        Self::DamagedSite,
    ];

    /// The name in `rejected.csv` and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoImages => "no-images",
            Self::MissingSite => "missing-site",
            Self::MissingChannel => "missing-channel",
            Self::ExtraChannel => "extra-channel",
            Self::Empty => "empty-file",
            Self::Truncated => "truncated",
            Self::WrongCrc => "wrong-crc",
            Self::Undecodable => "undecodable",
            Self::WrongSize => "wrong-size",
            Self::WrongDtype => "wrong-dtype",
            Self::WrongColour => "wrong-colour",
            Self::ManyPages => "many-pages",
            Self::MissingChunk => "missing-chunk",
            Self::Unreadable => "unreadable",
            Self::NoRow => "no-row",
            Self::NoPlate => "no-plate",
            Self::ExtraSite => "extra-site",
            Self::Uncountable => "uncountable",
            Self::DamagedListing => "damaged-listing",
            Self::DamagedSite => "damaged-site",
        }
    }

    /// What it means, for a summary: `62,753 wells that the CSVs name have no images`.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NoImages => "named by the CSVs, but there is no image",
            Self::MissingSite => "a well lacks a site that others of its plate have",
            Self::MissingChannel => "a channel's file is missing",
            Self::ExtraChannel => "a channel that other sites do not have",
            Self::Empty => "a file of zero bytes",
            Self::Truncated => "an image that ends too early",
            Self::WrongCrc => "a PNG whose CRC does not match",
            Self::Undecodable => "not an image that can be decoded",
            Self::WrongSize => "another size than the other images",
            Self::WrongDtype => "another type of pixels than the other images",
            Self::WrongColour => "not grey, or not RGB where that is expected",
            Self::ManyPages => "several images in one file",
            Self::MissingChunk => "a chunk of an array is not there",
            Self::Unreadable => "the file cannot be read",
            Self::NoRow => "images without a row in the CSVs",
            Self::NoPlate => "images that no plate takes",
            Self::ExtraSite => "a site beyond those that --sites says wells have",
            Self::Uncountable => "sums of its pixels do not fit 64 bits",
            Self::DamagedListing => "not what the lists of the source store say",
            Self::DamagedSite => "not what was packed into the source store",
        }
    }
}

/// One fault of a source, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The plate; `None` where no plate takes the file.
    pub plate: Option<PlateId>,
    /// The well; `None` where the whole plate is meant.
    pub well: Option<Well>,
    /// The site; `None` where the whole well is meant.
    pub site: Option<u16>,
    /// The kind.
    pub kind: FaultKind,
    /// The file, relative to the source's root; empty where no single file is meant.
    pub file: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            match (&self.plate, self.well, self.site) {
                (Some(plate), Some(well), Some(site)) => write!(f, "{}", plate.site(well, site))?,
                (Some(plate), Some(well), None) => {
                    write!(f, "{}", WellId { plate: plate.clone(), well }.shown())?;
                }
                (Some(plate), ..) => write!(f, "{plate}")?,
                (None, ..) => {}
            }
        } else {
            write!(f, "{}", shown(&self.file))?;
        }
        write!(f, ": {}: {}", self.kind.name(), shown(&self.detail))
    }
}
