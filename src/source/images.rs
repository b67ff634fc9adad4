//! Reading and decoding the images of one site.

use std::io;

use crate::fault::{Fault, FaultKind};
use crate::files;

use super::image::{SiteDecoder, largest_file};
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
        let images = (0..self.n_images()).filter(|i| site.channels & (1 << i) != 0);
        let read = |image| {
            let path = plate.file(site, image);
            let content = files::read_at_most(&self.root.join(&path), self.largest_image());
            Image { path, content }
        };
        images.map(read).collect()
    }

    /// Images of a site.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.channels.names.len()
    }

    /// Bytes of the pixels of one image, all of its channels.
    fn image_bytes(&self) -> usize {
        self.size.pixels() * self.dtype.bytes() * self.colour.channels()
    }

    /// Bytes of the pixels of a site.
    #[must_use]
    pub fn site_bytes(&self) -> usize {
        self.n_images() * self.image_bytes()
    }

    /// A decoder for its images.
    #[must_use]
    pub fn decoder(&self) -> SiteDecoder {
        SiteDecoder::new(self.size, self.dtype, self.colour)
    }

    /// The bytes that an image of this size can need, with room for much metadata. A larger file is no such image, and
    /// reading it could take all memory.
    #[must_use]
    pub fn largest_image(&self) -> u64 {
        largest_file(self.size, self.dtype, self.colour)
    }

    /// Decodes the images of a site into `pixels`, `[C, H, W]`, and returns every fault; where there is one, the
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
        let mut faults: Vec<Fault> = plate.missing_channel(site).into_iter().collect();
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
        let found = decoder.decode(&bytes, &mut pixels[..bytes.len() * self.image_bytes()]);
        faults.extend(found.into_iter().map(|(i, found)| fault(found.kind, pngs[i].0, found.detail)));
        faults
    }
}
