//! Reading and decoding the images of one site.

use std::io;

use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::site::Dtype;

use super::image::{Colour, SiteDecoder, largest_file};
use super::open::Source;
use super::plan::{PlatePlan, SitePlan};

/// One channel's file.
#[derive(Debug)]
pub struct Image {
    /// The path, relative to the tree's root.
    pub path: String,
    /// Its bytes.
    pub content: io::Result<Vec<u8>>,
}

impl Source {
    /// Reads the images of a site that are there, in the order of the channels.
    #[must_use]
    pub fn read_images(&self, plate: &PlatePlan, site: &SitePlan) -> Vec<Image> {
        let channels = (0..self.n_channels).filter(|c| site.channels & (1 << c) != 0);
        let read = |channel| {
            let path = plate.file(site, channel);
            let content = files::read_at_most(&self.root.join(&path), self.largest_image());
            Image { path, content }
        };
        channels.map(read).collect()
    }

    /// The bytes that an image of this size can need, with room for much metadata. A larger file is no such image, and
    /// reading it could take all memory.
    #[must_use]
    pub fn largest_image(&self) -> u64 {
        largest_file(self.size, Dtype::Uint8, Colour::Grey)
    }

    /// Decodes the images of a site into `pixels`, `[C, H, W] u8`, and returns every fault; where there is one, the
    /// content of `pixels` means nothing.
    ///
    /// # Panics
    /// If `pixels` is not of the size of a site.
    pub fn decode_images(
        &self,
        plate: &PlatePlan,
        site: &SitePlan,
        images: &[Image],
        decoder: &mut SiteDecoder,
        pixels: &mut [u8],
    ) -> Vec<Fault> {
        let mut faults: Vec<Fault> = plate.missing_channel(site, self.n_channels).into_iter().collect();
        let fault = |kind, file: &str, detail| Fault {
            plate: Some(plate.id.clone()),
            well: Some(site.well),
            site: Some(site.site),
            kind,
            file: file.to_owned(),
            detail,
        };
        let mut pngs: Vec<(&str, &[u8])> = Vec::new();
        for Image { path, content } in images {
            match content {
                Ok(bytes) => pngs.push((path, bytes)),
                Err(e) => faults.push(fault(FaultKind::Unreadable, path, e.to_string())),
            }
        }
        let bytes: Vec<&[u8]> = pngs.iter().map(|&(_, bytes)| bytes).collect();
        let found = decoder.decode(&bytes, &mut pixels[..bytes.len() * self.size.pixels()]);
        faults.extend(found.into_iter().map(|(i, found)| fault(found.kind, pngs[i].0, found.detail)));
        faults
    }
}
