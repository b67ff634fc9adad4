//! Which of the directories of a TIFF is the image, and that it is the only one.

use std::fmt::Display;
use std::io::{Read, Seek};

use crate::fault::FaultKind;

use super::super::fault::ImageFault;
use super::directory::{Directory, Tag, Tiff};
use super::planes::planes;

/// Directories beside that of the image: each smaller copy has half its sides, mostly.
const MOST_BESIDE: usize = 64;

/// Bytes of the smallest directory.
const SMALLEST: u64 = 6;

/// What a directory says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Image,
    /// The image in fewer pixels.
    Reduced,
    /// Which pixels of the image are to be seen.
    Mask,
    /// No image.
    Other,
}

/// A directory that was found.
struct Found {
    directory: Directory,
    role: Role,
    /// Whether it is below another one (`SubIFDs`).
    is_below: bool,
}

/// The directory of the one image, which is in the chain of directories, and those beside it: smaller copies, in the chain
/// or below it, are passed over, and whatever else there is is a fault.
pub(super) fn only_page<R: Read + Seek>(
    tiff: &mut Tiff<R>,
    first: u64,
) -> Result<(Directory, Vec<Directory>), ImageFault> {
    let (image, beside) = the_image(look_through(tiff, first)?)?;
    let n_planes = planes(tiff, &image.directory)?;
    if n_planes > 1 {
        return Err(many(format_args!("{n_planes} pages")));
    }
    let mut sides = |directory: &Directory| {
        let mut side = |tag| tiff.value(directory, tag).map(Option::unwrap_or_default);
        Ok([side(Tag::ImageWidth)?, side(Tag::ImageLength)?])
    };
    let [width, height] = sides(&image.directory)?;
    for copy in beside.iter().filter(|found| found.role == Role::Reduced) {
        let [w, h] = sides(&copy.directory)?;
        // A side of one pixel gets no smaller.
        let is_smaller = [w, h] != [width, height] && (w < width || w == 1) && (h < height || h == 1);
        if !is_smaller {
            return Err(many(format_args!("{width} x {height}, and {w} x {h} that is called a smaller copy of it")));
        }
    }
    Ok((image.directory, beside.into_iter().map(|found| found.directory).collect()))
}

/// Every directory of a file; of a long stack only the first ones, and how many images there are.
fn look_through<R: Read + Seek>(tiff: &mut Tiff<R>, first: u64) -> Result<(Vec<Found>, usize), ImageFault> {
    let (mut all, mut n_images) = (Vec::new(), 0);
    // Where directories are that were not looked at yet.
    let mut pending = vec![(first, false)];
    while let Some((at, is_below)) = pending.pop() {
        if at == 0 {
            continue;
        }
        let (directory, next) = tiff.directory(at)?;
        pending.push((next, is_below));
        if let Some(entry) = directory.entry(Tag::SubIfds) {
            let n = entry.count.saturating_add(pending.len() as u64);
            if n > tiff.left / SMALLEST {
                return Err(ImageFault::undecodable("directories that there is room for", format_args!("{n} more")));
            }
            pending.extend(tiff.values(entry, entry.count)?.into_iter().map(|below| (below, true)));
        }
        let role = role(tiff, &directory)?;
        n_images += usize::from(role == Role::Image);
        if all.len() <= MOST_BESIDE {
            all.push(Found { directory, role, is_below });
        } else if n_images < 2 {
            return Err(many(format_args!("more than {MOST_BESIDE} directories beside it")));
        }
    }
    Ok((all, n_images))
}

/// The image among what was found, and what is beside it.
fn the_image((mut all, n_images): (Vec<Found>, usize)) -> Result<(Found, Vec<Found>), ImageFault> {
    let is_image = |found: &Found| found.role == Role::Image;
    let n_pages = all.iter().filter(|found| found.role != Role::Other).count();
    let place = match (n_pages, n_images) {
        (0, _) => return Err(ImageFault::undecodable("an image", "none among the directories")),
        // What is alone is the image, whatever it says of itself.
        (1, _) => all.iter().position(|found| found.role != Role::Other),
        (_, 0) => return Err(many(format_args!("{n_pages} that are called smaller copies or masks"))),
        (_, 1) => all.iter().position(is_image),
        (_, n) => return Err(many(format_args!("{n} pages"))),
    };
    let image = all.remove(place.expect("it is one of them"));
    if image.is_below {
        return Err(many("one that is below another (SubIFDs)"));
    }
    if all.iter().any(|found| found.role == Role::Mask) {
        return Err(many("a mask beside it"));
    }
    Ok((image, all))
}

fn many(found: impl Display) -> ImageFault {
    ImageFault::new(FaultKind::ManyPages, "one image", found)
}

fn role<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<Role, ImageFault> {
    let of_image = [Tag::ImageWidth, Tag::ImageLength, Tag::StripOffsets, Tag::TileOffsets];
    if of_image.iter().all(|tag| directory.entry(*tag).is_none()) {
        return Ok(Role::Other);
    }
    let flags = tiff.value(directory, Tag::NewSubfileType)?.unwrap_or(0);
    let is_reduced = tiff.value(directory, Tag::SubfileType)? == Some(2);
    Ok(match flags {
        _ if flags & 4 != 0 => Role::Mask,
        _ if flags & 1 != 0 || is_reduced => Role::Reduced,
        _ => Role::Image,
    })
}
