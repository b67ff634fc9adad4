//! The images of a site in an array: its files, and their pixels.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::fault::FaultKind;
use crate::files;
use crate::site::{Dtype, ImageSize};
use crate::source::image::{Colour, Header, ImageFault};

#[cfg(feature = "zarr")]
use super::array::OpenArray;
use super::document::{ArrayDocument, image_size};
use super::pixels::Part;
use super::site::{ArraySite, Axis, below};
#[cfg(not(feature = "zarr"))]
use super::without::OpenArray;

/// The most files of a site.
const MOST_FILES: u64 = 1 << 14;

/// A file of a site, relative to the root, and the most bytes that it can need.
pub(crate) type SiteFile = (String, u64);

/// What is wrong with a site of an array, each with its file.
pub(crate) type Faults = Vec<(String, ImageFault)>;

/// What the document of a site's array says.
struct Opened {
    document: ArrayDocument,
    array: OpenArray,
    part: Part,
    size: ImageSize,
}

impl Opened {
    fn new(site: &ArraySite, n_channels: usize, text: &[u8]) -> Result<Self, ImageFault> {
        let document = ArrayDocument::parse(text, site.version)?;
        let size = size_of(site, &document)?;
        let not_in = |found| ImageFault::new(FaultKind::WrongSize, "the pixels of a site", found);
        let part = Part::of(&document.shape, &site.axes, site.at, n_channels).map_err(not_in)?;
        if part.n_chunks(&document.chunk_shape) > MOST_FILES {
            let found = format!("chunks of {:?}", document.chunk_shape);
            return Err(ImageFault::undecodable(format_args!("at most {MOST_FILES} chunks of a site"), found));
        }
        Ok(Self { array: OpenArray::new(&document)?, document, part, size })
    }

    fn key(&self, site: &ArraySite, index: &[u64]) -> String {
        below(&site.dir, &self.array.key(index))
    }

    /// Decodes the chunks of a site into `[C, H, W]`. A chunk that is not there is a fault, whatever the array says
    /// that pixels are which nobody wrote.
    fn decode(&self, site: &ArraySite, contents: &HashMap<&str, &[u8]>, pixels: &mut [u8]) -> Faults {
        let mut faults = Vec::new();
        let mut open = None;
        for chunk in self.part.chunks(&self.document.chunk_shape) {
            let shapes = self.document.chunk_shape.iter().zip(&self.document.file_shape);
            let file: Vec<u64> = chunk.iter().zip(shapes).map(|(&at, (chunk, file))| at / (file / chunk)).collect();
            let path = self.key(site, &file);
            // What could not be read is a fault already.
            let Some(&bytes) = contents.get(path.as_str()) else { continue };
            let mut put = || -> Result<(), ImageFault> {
                if bytes.is_empty() {
                    return Err(ImageFault::new(FaultKind::Empty, "a chunk", "0 bytes"));
                }
                let bytes = if self.document.of_shards.is_none() {
                    bytes
                } else {
                    if open.as_ref().is_none_or(|(of, _)| *of != file) {
                        open = Some((file.clone(), self.array.index(&self.document, &file, bytes)?));
                    }
                    let index = open.as_ref().and_then(|(_, index)| index.chunk(&chunk, bytes).transpose());
                    let absent = || {
                        let found = "none in the index of its shard";
                        ImageFault::new(FaultKind::MissingChunk, format_args!("a chunk {chunk:?}"), found)
                    };
                    index.ok_or_else(absent)??
                };
                let decoded = self.array.decode(&self.document, bytes)?;
                self.part.put(&self.document, &chunk, &decoded, pixels);
                Ok(())
            };
            // One fault of a file says enough.
            if let Err(fault) = put()
                && faults.last().is_none_or(|(last, _)| *last != path)
            {
                faults.push((path, fault));
            }
        }
        faults
    }
}

/// What the document of a site's array says of its images, and its length.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read_head(root: &Path, site: &ArraySite) -> io::Result<(std::result::Result<Header, ImageFault>, u64)> {
    let text = files::read_at_most(&root.join(site.document()), files::LARGEST_DOCUMENT)?;
    let header = || {
        let document = ArrayDocument::parse(&text, site.version)?;
        Ok(Header::of_array(size_of(site, &document)?, document.dtype))
    };
    Ok((header(), text.len() as u64))
}

fn size_of(site: &ArraySite, document: &ArrayDocument) -> Result<ImageSize, ImageFault> {
    let pairs = || site.axes.iter().zip(&document.shape);
    let side = |wanted: Axis| pairs().find(|(axis, _)| **axis == wanted).map_or(0, |(_, &side)| side);
    image_size(side(Axis::Y), side(Axis::X))
}

/// The files of a site: documents, and the chunks that hold it. Where a document cannot be read, no more is known.
pub(crate) fn site_files(root: &Path, site: &ArraySite, n_channels: usize) -> Vec<SiteFile> {
    let documents = site.image.iter().map(ToString::to_string).chain([site.document()]);
    let mut found: Vec<SiteFile> = documents.map(|path| (path, files::LARGEST_DOCUMENT)).collect();
    let text = files::read_at_most(&root.join(site.document()), files::LARGEST_DOCUMENT);
    if let Some(opened) = text.ok().and_then(|text| Opened::new(site, n_channels, &text).ok()) {
        let largest = opened.document.largest_file();
        let chunks = opened.part.chunks(&opened.document.file_shape);
        found.extend(chunks.iter().map(|chunk| (opened.key(site, chunk), largest)));
    }
    found
}

/// Decodes the images of a site from its files into `pixels`, `[C, H, W]`.
pub(crate) fn decode(
    site: &ArraySite,
    contents: &HashMap<&str, &[u8]>,
    (size, dtype): (ImageSize, Dtype),
    pixels: &mut [u8],
) -> Faults {
    let path = site.document();
    let Some(text) = contents.get(path.as_str()) else { return Vec::new() };
    let image_bytes = size.pixels() * dtype.bytes();
    let n_channels = pixels.len() / image_bytes.max(1);
    let opened = Opened::new(site, n_channels, text).and_then(|opened| {
        Header::of_array(opened.size, opened.document.dtype).check(size, dtype, Colour::Grey)?;
        Ok(opened)
    });
    match opened {
        Ok(opened) => {
            let faults = opened.decode(site, contents, pixels);
            if cfg!(target_endian = "big") && dtype == Dtype::Uint16 {
                pixels.as_chunks_mut::<2>().0.iter_mut().for_each(|pixel| pixel.reverse());
            }
            faults
        }
        Err(fault) => vec![(path, fault)],
    }
}
