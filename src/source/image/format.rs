//! What a file is, by its first bytes.

use std::io::{self, Read, Seek, SeekFrom};

use crate::fault::FaultKind;

use super::fault::{ImageFault, hex};
use super::header::Header;
use super::{bmp, netpbm, png, tiff};

/// Bytes that hold all that is looked at of the header of any of them but TIFF.
const HEAD: u64 = 2048;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Tiff,
    Bmp,
    /// PGM and PPM, binary.
    Netpbm,
}

/// How files begin that are called images too, and are none of these, with what they are.
const OTHERS: [(&[u8], &str); 14] = [
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"P1", "a Netpbm of text"),
    (b"P2", "a Netpbm of text"),
    (b"P3", "a Netpbm of text"),
    (b"P4", "a PBM of one bit"),
    (b"P7", "PAM"),
    (b"ZISRAWFILE", "CZI"),
    (b"\xda\xce\xbe\x0a", "ND2"),
    (b"\x89HDF", "HDF5"),
    (b"8BPS", "PSD"),
];

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
        if begins_as(b"BM") {
            return Ok(Self::Bmp);
        }
        if begins_as(b"P5") || begins_as(b"P6") {
            return Ok(Self::Netpbm);
        }
        let expected = "a PNG, a TIFF, a BMP, or a binary PGM or PPM";
        if let Some((_, name)) = OTHERS.iter().find(|(signature, _)| head.starts_with(signature)) {
            return Err(ImageFault::undecodable(expected, format_args!("{name}, which is not read")));
        }
        Err(ImageFault::undecodable(expected, hex(&head[..head.len().min(8)])))
    }
}

/// Reads what the header of an image says: what is needed to learn the size and the type of the images of a tree. No
/// pixel is looked at.
///
/// # Errors
/// A fault if the file is no image that can be decoded, ends too early, or cannot be read.
pub fn read_header(file: &mut (impl Read + Seek)) -> Result<Header, ImageFault> {
    let mut head = Vec::new();
    let mut read = || -> io::Result<u64> {
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        file.by_ref().take(HEAD).read_to_end(&mut head)?;
        Ok(length)
    };
    let unreadable = |error: io::Error| ImageFault { kind: FaultKind::Unreadable, detail: error.to_string() };
    let length = read().map_err(unreadable)?;
    match Format::of(&head)? {
        Format::Png => Ok(png::Png::open(&head)?.header),
        Format::Tiff => Ok(tiff::Page::open(file)?.header),
        Format::Bmp => bmp::open(&head, length),
        Format::Netpbm => netpbm::open(&head, length),
    }
}
