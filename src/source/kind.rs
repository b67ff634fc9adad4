//! What the images of a tree are, by the headers of some: their size, the type of their pixels, and colours.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fault::FaultKind;
use crate::files;
use crate::site::{Dtype, ImageSize};

use super::channels::ChannelNames;
use super::config::SourceConfig;
use super::image::{Colour, Header, ImageFault, read_header};
use super::plan::{PlatePlan, SitePlan};
use super::zarr;

/// What images are: their size, the type of their pixels, and what becomes of colours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) size: ImageSize,
    pub(super) dtype: Dtype,
    pub(super) colour: Colour,
}

/// What most of a sample of the images are.
pub(super) fn common_kind(
    config: &SourceConfig,
    channels: &ChannelNames,
    plates: &[PlatePlan],
    unusual: &mut Vec<String>,
) -> Result<Kind> {
    const SAMPLE: usize = 99;
    let root = &config.root;
    let n_sites: usize = plates.iter().map(|plate| plate.sites.len()).sum();
    if n_sites == 0
        && let Some(first) = plates.iter().flat_map(|plate| &plate.faults).next()
    {
        let n: usize = plates.iter().map(|plate| plate.faults.len()).sum();
        let more = if n > 1 { format!(" and {} more", n - 1) } else { String::new() };
        let expected = "an image of a site that tables name, or a row of a site that there is";
        let is_numbered = first.site.is_some() && first.kind == FaultKind::NoImages;
        let way = if is_numbered { "; --on plate,well,site= is for rows that do not number sites" } else { "" };
        return Err(Error::malformed(root.display(), expected, format!("none ({first}{more}){way}")));
    }
    let step = n_sites.div_ceil(SAMPLE).max(1);
    let sites = plates.iter().flat_map(|plate| plate.sites.iter().map(move |site| (plate, site)));
    let sites = sites.filter(|(_, site)| site.channels != 0);
    let mut votes: HashMap<Kind, usize> = HashMap::new();
    let (mut why, mut of_planes) = (None, None);
    for (plate, site) in sites.step_by(step) {
        let channel = site.channels.trailing_zeros() as usize;
        let path = plate.file(site, channel);
        // A file that cannot be read or is no image does not vote; packing it reports what is wrong with it.
        let found = match read_head(root, plate, site, channel) {
            Ok((Ok(header), length)) => match (header.dtype, header.bands.colour()) {
                (Some(dtype), Some(colour)) if header.can_be_true(length) => {
                    *votes.entry(Kind { size: header.size, dtype, colour }).or_default() += 1;
                    of_planes = of_planes.or_else(|| header.is_of_planes().then_some(path));
                    continue;
                }
                (Some(_), Some(_)) => {
                    let ImageSize { height, width } = header.size;
                    format!("{length} bytes, too few for {width} x {height} pixels")
                }
                _ => header.shown(),
            },
            Ok((Err(fault), _)) => fault.detail,
            Err(error) => error.to_string(),
        };
        why.get_or_insert_with(|| format!("{path}: {found}"));
    }
    let most = votes.into_iter().max_by_key(|&(kind, n)| (n, kind)).map(|(kind, _)| kind);
    let none = || {
        let found = why.unwrap_or_else(|| "none among the first looked at".to_owned());
        Error::malformed(root.display(), "grey images of 8 or 16 bits (PNG, TIFF, BMP, PGM)", found)
    };
    let kind = most.ok_or_else(none)?;
    let colour = match kind.colour {
        _ if config.takes_equal_rgb => Colour::EqualRgb,
        Colour::Rgb if channels.is_told => {
            unusual.push("images are RGB: --grey takes those whose red, green and blue are equal".to_owned());
            Colour::Grey
        }
        Colour::Rgb => {
            // A stack of three planes is called so by some writers.
            unusual.extend(of_planes.map(|path| {
                format!("three planes of an image are taken for red, green and blue, as its file says ({path})")
            }));
            Colour::Rgb
        }
        colour => colour,
    };
    Ok(Kind { colour, ..kind })
}

/// What the header of an image says, and the length of its file.
pub(super) fn read_head(
    root: &Path,
    plate: &PlatePlan,
    site: &SitePlan,
    channel: usize,
) -> std::io::Result<(std::result::Result<Header, ImageFault>, u64)> {
    if let Some(array) = plate.array(site) {
        return zarr::read_head(root, array);
    }
    let mut file = files::open(&root.join(plate.file(site, channel))).map_err(std::io::Error::other)?;
    let length = file.metadata()?.len();
    Ok((read_header(&mut file), length))
}
