//! Reading and decoding the images of one site.

use std::collections::HashMap;
use std::io;

use crate::error::Result;
use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::memory;

use super::image::{SiteDecoder, largest_file};
use super::open::Source;
use super::plan::{PlatePlan, SitePlan};
use super::zarr;

/// One channel's file, or one of those that an array has of a site.
#[derive(Debug)]
pub struct Image {
    /// The path, relative to the tree's root.
    pub path: String,
    /// Its bytes.
    pub content: io::Result<Vec<u8>>,
}

/// How many sites of a plate are a sample of it.
const SAMPLE: usize = 16;

/// A few of the sites of a plate, spread over it: enough to tell one description of its images from another.
#[must_use]
pub fn sample<T>(sites: &[T]) -> Vec<&T> {
    sites.iter().step_by(sites.len().div_ceil(SAMPLE).max(1)).collect()
}

/// Reads and decodes sites, one after the other; keeps its buffers in between.
pub struct SiteReader<'s> {
    source: &'s Source,
    decoder: SiteDecoder,
    pixels: Vec<u8>,
}

impl SiteReader<'_> {
    /// The pixels of a site, `[C, H, W]`, and every fault; where there is one, the pixels mean nothing.
    ///
    /// # Errors
    /// If there is no memory for a site.
    pub fn read(&mut self, plate: &PlatePlan, site: &SitePlan) -> Result<(&[u8], Vec<Fault>)> {
        self.decode(plate, site, &self.source.read_images(plate, site))
    }

    /// The same of images that were read.
    ///
    /// # Errors
    /// If there is no memory for a site.
    pub fn decode(&mut self, plate: &PlatePlan, site: &SitePlan, images: &[Image]) -> Result<(&[u8], Vec<Fault>)> {
        memory::resize(&mut self.pixels, self.source.site_bytes(), "the pixels of a site")?;
        let faults = self.source.decode_images(plate, site, images, &mut self.decoder, &mut self.pixels);
        Ok((&self.pixels, faults))
    }
}

impl Source {
    /// A reader of its sites.
    #[must_use]
    pub fn reader(&self) -> SiteReader<'_> {
        SiteReader { source: self, decoder: self.decoder(), pixels: Vec::new() }
    }

    /// The files that the images of a site are in, relative to the root, each with the most bytes that it can need; in the
    /// order of the channels where each is one. A larger one is no such file, and reading it could take all memory.
    #[must_use]
    pub fn image_files(&self, plate: &PlatePlan, site: &SitePlan) -> Vec<(String, u64)> {
        if let Some(array) = plate.array(site) {
            return zarr::site_files(&self.root, array, site.channels.count_ones() as usize);
        }
        let images = (0..self.n_images()).filter(|i| site.channels & (1 << i) != 0);
        images.map(|image| (plate.file(site, image), self.largest_image())).collect()
    }

    /// Reads the files of a site that are there.
    #[must_use]
    pub fn read_images(&self, plate: &PlatePlan, site: &SitePlan) -> Vec<Image> {
        let read = |(path, largest): (String, u64)| {
            let content = files::read_at_most(&self.root.join(&path), largest);
            Image { path, content }
        };
        self.image_files(plate, site).into_iter().map(read).collect()
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

    /// The bytes that an image of this size can need, with room for much metadata.
    fn largest_image(&self) -> u64 {
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
                Err(e) if plate.array(site).is_some() && e.kind() == io::ErrorKind::NotFound => {
                    let detail = "expected a file of an array, found none".to_owned();
                    faults.push(fault(FaultKind::MissingChunk, path, detail));
                }
                Err(e) => faults.push(fault(FaultKind::Unreadable, path, e.to_string())),
            }
        }
        if let Some(array) = plate.array(site) {
            let contents: HashMap<&str, &[u8]> = pngs.into_iter().collect();
            let n_channels = site.channels.count_ones() as usize;
            let pixels = &mut pixels[..n_channels * self.image_bytes()];
            let found = zarr::decode(array, &contents, (self.size, self.dtype), pixels);
            faults.extend(found.into_iter().map(|(path, found)| fault(found.kind, &path, found.detail)));
            return faults;
        }
        let bytes: Vec<&[u8]> = pngs.iter().map(|&(_, bytes)| bytes).collect();
        let found = decoder.decode(&bytes, &mut pixels[..bytes.len() * self.image_bytes()]);
        faults.extend(found.into_iter().map(|(i, found)| fault(found.kind, pngs[i].0, found.detail)));
        faults
    }
}
