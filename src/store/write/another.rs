//! Whether what a store holds under a plate's name is another plate than the one that is to take its place: two runs of a
//! lab may name their plates alike. Where folders name a plate with its experiment, the plate of that name is the same,
//! whatever became of its images; else most of its images, or of its sites, have to be the same by content.

use std::collections::HashSet;
use std::hash::Hash;
use std::path::Path;

use crate::error::{Result, unless_damaged};
use crate::site::PlateId;
use crate::store::format::checksum::Sha;
use crate::store::format::manifest::Entry;
use crate::store::format::names::{SITES, SOURCES, is_named_by};
use crate::store::format::rows::SiteRow;
use crate::store::read::listing::{read_list, read_rows};

/// Documents of arrays: those of two plates may be the same.
const DOCUMENTS: [&str; 5] = ["zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"];

/// What a store holds of a plate: the images that it was packed from, and the pixels of its sites.
pub struct OldPlate {
    plate: PlateId,
    images: Vec<Entry>,
    sites: HashSet<u32>,
}

impl OldPlate {
    /// Of the store at `root`; `None` where there is nothing that could be told from another plate.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn of(root: &Path, plate: &PlateId) -> Result<Option<Self>> {
        let images = unless_damaged(read_list(root, plate, SOURCES))?.unwrap_or_default();
        let sites = unless_damaged(read_rows::<SiteRow>(root, plate, SITES))?.unwrap_or_default();
        let sites: HashSet<u32> = sites.iter().map(|site| site.crc32c).collect();
        let plate = plate.clone();
        Ok(Some(Self { plate, images, sites }).filter(|old| !old.images.is_empty() || !old.sites.is_empty()))
    }

    /// The files that it was packed from.
    #[must_use]
    pub fn images(&self) -> &[Entry] {
        &self.images
    }

    /// Whether folders name it and the plate of these images alike.
    #[must_use]
    pub fn is_named_by<'a>(&self, mut paths: impl Iterator<Item = &'a str>) -> bool {
        let is_named = |path: &str| is_named_by(path, &self.plate);
        self.images.iter().all(|image| is_named(&image.path)) && paths.all(is_named)
    }

    /// Whether most of its images are among these, or most of these are its.
    #[must_use]
    pub fn has_images<'a>(&self, images: impl Iterator<Item = (&'a str, Sha)>) -> bool {
        let old = self.images.iter().map(|image| (image.path.as_str(), image.sha));
        is_most(&of_images(old), &of_images(images))
    }

    /// Whether most of its sites have these checksums, or most of these are its.
    #[must_use]
    pub fn has_sites(&self, sites: &HashSet<u32>) -> bool {
        is_most(&self.sites, sites)
    }

    /// Whether a plate that was packed from these images into sites with these checksums is another. A plate without
    /// sites is none.
    #[must_use]
    pub fn is_another(&self, images: &[Entry], sites: impl Iterator<Item = u32>) -> bool {
        let sites: HashSet<u32> = sites.collect();
        !sites.is_empty()
            && !self.is_named_by(images.iter().map(|image| image.path.as_str()))
            && !self.has_images(images.iter().map(|image| (image.path.as_str(), image.sha)))
            && !self.has_sites(&sites)
    }
}

/// The hashes of those of these files that are no documents.
fn of_images<'a>(files: impl Iterator<Item = (&'a str, Sha)>) -> HashSet<[u8; 32]> {
    let is_image = |path: &str| !DOCUMENTS.contains(&path.rsplit('/').next().unwrap_or(path));
    files.filter(|(path, _)| is_image(path)).map(|(_, sha)| sha.0).collect()
}

/// Whether more than half of the smaller set are in both. A few are in any two: images of nothing are alike.
fn is_most<T: Eq + Hash>(old: &HashSet<T>, new: &HashSet<T>) -> bool {
    2 * old.intersection(new).count() > old.len().min(new.len())
}
