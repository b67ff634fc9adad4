//! What a file is, by its first bytes.

use std::io::{self, Read, Seek, SeekFrom};

use crate::fault::FaultKind;

use super::fault::{ImageFault, hex};
use super::header::Header;
use super::{png, tiff};

/// Bytes that hold the header of a PNG.
const HEAD: u64 = 64;

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Tiff,
}

impl Format {
    /// Tells the format by the first bytes of a file.
    pub(super) fn of(head: &[u8]) -> Result<Self, ImageFault> {
        if head.is_empty() {
            return Err(ImageFault::new(FaultKind::Empty, "an image", "0 bytes"));
        }
        // A file that ends within its signature is that format, cut short.
        let begins_as = |signature: &[u8]| head.iter().zip(signature).all(|(a, b)| a == b);
        if begins_as(&png::SIGNATURE) {
            return Ok(Self::Png);
        }
        if tiff::SIGNATURES.iter().any(|signature| begins_as(signature)) {
            return Ok(Self::Tiff);
        }
        let found = hex(&head[..head.len().min(8)]);
        Err(ImageFault::undecodable("the signature of a PNG or a TIFF", found))
    }
}

/// Reads what the header of an image says: what is needed to learn the size and the type of the images of a tree. No
/// pixel is looked at.
///
/// # Errors
/// A fault if the file is no image that can be decoded, ends too early, or cannot be read.
pub fn read_header(file: &mut (impl Read + Seek)) -> Result<Header, ImageFault> {
    let mut head = Vec::new();
    let mut read = || -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(HEAD).read_to_end(&mut head)?;
        Ok(())
    };
    read().map_err(|error| ImageFault { kind: FaultKind::Unreadable, detail: error.to_string() })?;
    match Format::of(&head)? {
        Format::Png => Ok(png::Png::open(&head)?.header),
        Format::Tiff => Ok(tiff::Page::open(file)?.header),
    }
}
