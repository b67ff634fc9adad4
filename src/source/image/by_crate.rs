//! Samples of images that the crate `image` decodes.

use image::{ImageDecoder, ImageResult};

use super::fault::ImageFault;

/// Reads the samples of a file that was opened, exactly as many as are wanted.
pub(super) fn read_samples(decoder: ImageResult<impl ImageDecoder>, samples: &mut [u8]) -> Result<(), ImageFault> {
    let expected = samples.len();
    let undecodable = |found: &dyn std::fmt::Display| {
        Err(ImageFault::undecodable(format_args!("{expected} bytes of samples"), found))
    };
    match decoder {
        Ok(decoder) if decoder.total_bytes() == expected as u64 => {
            decoder.read_image(samples).or_else(|error| undecodable(&error))
        }
        Ok(decoder) => undecodable(&decoder.total_bytes()),
        Err(error) => undecodable(&error),
    }
}
