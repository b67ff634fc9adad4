//! How one microscope or data set names its images: patterns that are tried in order, and what lies beside the images.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use super::fields::{Fields, Misread, ends_with_guid};
use super::matching::{Pattern, Unwritable};

/// The names of images of one kind of microscope, or of one data set.
#[derive(Debug)]
pub struct Preset {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What may stand before the names of `files`, the most telling first.
    pub(super) folders: &'static [&'static str],
    /// The names of files, the most telling first.
    pub(super) files: &'static [&'static str],
    /// What stands before the number of a channel where it is named.
    pub(super) channel: &'static str,
    pub(super) beside: Beside,
    pub(super) tables: PresetTables,
    /// All of `files` in all of `folders`, once they are asked for.
    pub(super) patterns: OnceLock<Vec<Pattern>>,
}

/// Which images lie beside those of wells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    None,
    /// `_thumb`, with or without a GUID behind it: a small copy of each image.
    Thumbnails,
    /// `DC_*.tif` and `SC_*.tif`: dark and shading images, by which others are corrected.
    Corrections,
}

/// Which tables of labels images come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresetTables {
    /// None of a known name.
    None,
    /// The four of RxRx1 as Kaggle has it.
    Kaggle,
    /// One of rxrx.ai, `metadata.csv`.
    RxrxAi,
}

impl Preset {
    /// The tables of labels that such images come with.
    #[must_use]
    pub fn tables(&self) -> PresetTables {
        self.tables
    }

    /// The name, as `--layout` takes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A line that tells users what it is for.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Its patterns, in the order in which they are tried.
    ///
    /// # Panics
    /// Never: each pattern of each preset is tested.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        let pattern = |(folder, file)| format!("{folder}{file}").parse().expect("patterns of presets are tested");
        let pairs = || self.folders.iter().flat_map(|folder| self.files.iter().map(move |file| (folder, file)));
        self.patterns.get_or_init(|| pairs().map(pattern).collect())
    }

    /// What the first pattern tells of a path that has its shape; `None` where no pattern knows the path.
    ///
    /// # Errors
    /// Those of [`Pattern::read`].
    pub fn read<'a>(&self, path: &'a str) -> Result<Option<Fields<'a>>, Misread> {
        self.patterns().iter().find_map(|pattern| pattern.read(path).transpose()).transpose()
    }

    /// [`Pattern::place_of_plate`] by the first pattern that knows the path.
    #[must_use]
    pub fn place_of_plate(&self, path: &str) -> Option<String> {
        self.patterns().iter().find_map(|pattern| pattern.place_of_plate(path))
    }

    /// The path of an image, by the first pattern for which all is given.
    ///
    /// # Errors
    /// If no pattern has all that it asks for; what the last one lacks is named, as it asks for the least. Otherwise
    /// those of [`Pattern::write`].
    ///
    /// # Panics
    /// Never: each preset has patterns.
    pub fn write(&self, fields: &Fields<'_>) -> Result<String, Unwritable> {
        let (last, others) = self.patterns().split_last().expect("each preset has patterns");
        let mut written = others.iter().map(|pattern| pattern.write(fields));
        // A path that would be read otherwise is no reason to leave something out.
        let first = written.find(|path| !matches!(path, Err(Unwritable::NotGiven(_))));
        first.unwrap_or_else(|| last.write(fields))
    }

    /// Whether a path is that of an image that the microscope makes beside those of wells: a thumbnail, or one by which
    /// others are corrected. Never where a pattern knows the path.
    #[must_use]
    pub fn is_beside(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some((stem, extension)) = name.rsplit_once('.') else { return false };
        let is_tiff = ["tif", "tiff"].iter().any(|tiff| extension.eq_ignore_ascii_case(tiff));
        let is_named = match self.beside {
            Beside::None => false,
            Beside::Thumbnails => is_thumbnail(stem),
            Beside::Corrections => stem.starts_with("DC_") || stem.starts_with("SC_"),
        };
        is_tiff && is_named && self.read(path) == Ok(None)
    }

    /// The name of a channel: a number with what the microscope writes before it, such as `w1`; a name as it is.
    #[must_use]
    pub fn channel_name<'a>(&self, channel: &'a str) -> Cow<'a, str> {
        if channel.bytes().all(|b| b.is_ascii_digit()) {
            format!("{}{channel}", self.channel).into()
        } else {
            channel.into()
        }
    }
}

impl PartialEq for Preset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Preset {}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// Whether a name without its extension ends in `_thumb`, in letters of any size, or in that and a GUID, with or
/// without `_` between them.
fn is_thumbnail(stem: &str) -> bool {
    let without_guid = if ends_with_guid(stem) { &stem[..stem.len() - 36] } else { stem };
    let end = without_guid.strip_suffix('_').unwrap_or(without_guid);
    end.len().checked_sub(6).and_then(|at| end.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case("_thumb"))
}
