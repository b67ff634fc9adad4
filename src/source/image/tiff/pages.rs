//! Which of the directories of a TIFF is the image, and that it is the only one.

use std::io::{Read, Seek};

use crate::fault::FaultKind;

use super::super::fault::ImageFault;
use super::directory::{Directory, Tag, Tiff};

/// Bytes of a description that are looked at: `ImageJ` says how many planes there are in the first lines.
const DESCRIPTION: u64 = 256;

/// The directory of the one image; smaller copies of it and masks are passed over.
pub(super) fn only_page<R: Read + Seek>(tiff: &mut Tiff<R>, first: u64) -> Result<Directory, ImageFault> {
    let (mut full, mut copies) = (Vec::new(), Vec::new());
    let (mut n_pages, mut most_planes) = (0, 0);
    let mut at = first;
    while at != 0 {
        let (directory, next) = tiff.directory(at)?;
        if directory.entry(Tag::ImageWidth).is_some() {
            let is_copy = is_copy(tiff, &directory)?;
            if !is_copy {
                n_pages += 1;
                most_planes = most_planes.max(planes(tiff, &directory)?);
            }
            // Of a long stack only the first is kept.
            let kept = if is_copy { &mut copies } else { &mut full };
            if kept.len() < 2 {
                kept.push(directory);
            }
        }
        at = next;
    }
    let n_pages = most_planes.max(n_pages);
    if n_pages > 1 {
        return Err(ImageFault::new(FaultKind::ManyPages, "one image", format_args!("{n_pages} pages")));
    }
    // What is alone is the image, whatever it says of itself.
    let alone = if full.is_empty() && copies.len() == 1 { copies.pop() } else { full.pop() };
    alone.ok_or_else(|| ImageFault::undecodable("an image", "none among the directories"))
}

/// Whether a page says that it is another one in fewer pixels, or its mask.
fn is_copy<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<bool, ImageFault> {
    let flags = tiff.value(directory, Tag::NewSubfileType)?.unwrap_or(0);
    let is_reduced = tiff.value(directory, Tag::SubfileType)? == Some(2);
    Ok(flags & 0b101 != 0 || is_reduced)
}

/// How many planes a page says that it stands for: stacks of `ImageJ` and `MetaMorph` may have one directory for all.
fn planes<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<u64, ImageFault> {
    let depth = tiff.value(directory, Tag::ImageDepth)?.unwrap_or(1);
    let of_metamorph = directory.entry(Tag::Uic2).map_or(1, |entry| entry.count);
    let of_image_j = match directory.entry(Tag::ImageDescription) {
        Some(entry) if entry.count > 0 => {
            let text = tiff.text(entry, DESCRIPTION)?;
            let mut lines = text.strip_prefix("ImageJ=").into_iter().flat_map(str::lines);
            lines.find_map(|line| line.strip_prefix("images=")?.trim().parse().ok())
        }
        _ => None,
    };
    Ok(depth.max(of_metamorph).max(of_image_j.unwrap_or(1)).max(1))
}
