//! Whether a plate that is to be packed is another than the one that the store has under its name.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::error::Result;
use crate::source::{PlatePlan, Source};
use crate::store::format::checksum::{Sha, crc32c};
use crate::store::write::another::OldPlate;

use super::config::PackConfig;

/// What a plate is to the one that the store has under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// The same, or the only one.
    Same,
    /// It has other images, and those of before are still in the source: the user says now that they are others.
    ToldAnew,
    /// It has other images, and those of before are not in the source.
    Another,
}

impl Kinship {
    /// Looks at a plate whose files are `images`.
    ///
    /// # Errors
    /// If there is no memory for a site, or the system cannot tell.
    pub(super) fn of(config: &PackConfig, source: &Source, plate: &PlatePlan, images: &[&str]) -> Result<Self> {
        let Some(old) = OldPlate::of(&config.dst, &plate.id)?.filter(|old| !old.is_named_by(images.iter().copied()))
        else {
            return Ok(Self::Same);
        };
        let sha_of = |path: &str| Sha::of_file(&source.root.join(path), &|_| {}).ok().map(|(sha, _)| sha);
        let paths: HashSet<&str> = images.iter().copied().collect();
        let shas: Vec<(&str, Sha)> = paths.into_par_iter().filter_map(|path| Some((path, sha_of(path)?))).collect();
        if old.has_images(shas.into_iter()) {
            return Ok(Self::Same);
        }
        let decoded = plate.sites.par_iter().map_init(
            || source.reader(),
            |reader, site| {
                let (pixels, faults) = reader.read(plate, site)?;
                Ok(faults.is_empty().then(|| crc32c(pixels)))
            },
        );
        let sites: HashSet<u32> = decoded.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        // Of a plate that is damaged whole, nobody knows.
        if sites.is_empty() || old.has_sites(&sites) {
            return Ok(Self::Same);
        }
        let is_there = |path: &str, sha: Sha| sha_of(path) == Some(sha);
        let n_there = old.images().par_iter().filter(|image| is_there(&image.path, image.sha)).count();
        Ok(if 2 * n_there > old.images().len() { Self::ToldAnew } else { Self::Another })
    }
}
