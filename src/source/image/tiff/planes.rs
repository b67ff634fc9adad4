//! How many planes a page says that it stands for: stacks of some writers have one directory for all of them.

use std::io::{Read, Seek};

use serde::Deserialize;

use super::super::fault::ImageFault;
use super::directory::{Directory, Tag, Tiff};
use super::ome;

/// Planes of a page, at least 1.
pub(super) fn planes<R: Read + Seek>(tiff: &mut Tiff<R>, directory: &Directory) -> Result<u64, ImageFault> {
    let mut most = 1;
    for tag in [Tag::ImageDepth, Tag::TileDepth] {
        most = most.max(tiff.value(directory, tag)?.unwrap_or(1));
    }
    for tag in [Tag::Uic2, Tag::Uic3, Tag::Uic4] {
        most = most.max(directory.entry(tag).map_or(1, |entry| entry.count));
    }
    let mut value = |tag| tiff.value(directory, tag).map(|value| value.unwrap_or(1));
    let page = [value(Tag::ImageLength)?, value(Tag::ImageWidth)?, value(Tag::SamplesPerPixel)?];
    for entry in directory.descriptions() {
        let text = tiff.text(entry)?;
        // MetaMorph has a text a plane, each with its end.
        for text in text.split('\0') {
            most = most.max(planes_of_text(text.trim(), page));
        }
    }
    Ok(most)
}

/// Planes that a description tells; `page` is height, width and samples of a pixel.
fn planes_of_text(text: &str, page: [u64; 3]) -> u64 {
    let of_shape = || shape(text).map(|shape| planes_of_shape(&shape, page));
    image_j(text).or_else(of_shape).or_else(|| ome::planes(text, page[2])).unwrap_or(1)
}

/// `ImageJ=1.54f`, and below it `images=12`, or how many slices, channels and frames.
fn image_j(text: &str) -> Option<u64> {
    let lines = || text.strip_prefix("ImageJ=").into_iter().flat_map(str::lines);
    let number = |key: &str| {
        let mut values = lines().filter_map(|line| line.split_once('=').filter(|(name, _)| name.trim() == key));
        values.find_map(|(_, value)| value.trim().parse::<u64>().ok())
    };
    let product = ["channels", "slices", "frames"].into_iter().filter_map(number).fold(1, u64::saturating_mul);
    text.starts_with("ImageJ=").then(|| number("images").unwrap_or(1).max(product))
}

/// The shape that tifffile notes of what it wrote: `{"shape": [3, 1080, 1080]}`, and formerly `shape=(3, 1080, 1080)`.
fn shape(text: &str) -> Option<Vec<u64>> {
    #[derive(Deserialize)]
    struct Shaped {
        shape: Vec<u64>,
    }
    if let Some(sides) = text.strip_prefix("shape=(").and_then(|text| text.split(')').next()) {
        return sides.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().ok()).collect();
    }
    serde_json::from_str::<Shaped>(text).ok().map(|shaped| shaped.shape)
}

fn planes_of_shape(shape: &[u64], [height, width, samples]: [u64; 3]) -> u64 {
    let product = |sides: &[u64]| sides.iter().copied().fold(1, u64::saturating_mul);
    let ends: [&[u64]; 3] = [&[height, width, samples], &[samples, height, width], &[height, width]];
    let of_page = ends.iter().find(|end| (samples == 1 || end.len() == 3) && shape.ends_with(end));
    match of_page {
        Some(end) => product(&shape[..shape.len() - end.len()]),
        // The page was made smaller or larger since, and the text kept: only a plane has two sides.
        None if shape.iter().filter(|side| **side > 1).count() <= 2 => 1,
        None => (product(shape) / product(&[height, width, samples]).max(1)).max(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writers_note_of_a_stack_is_how_many_planes_it_has() {
        let grey = |text: &str| planes_of_text(text, [5, 6, 1]);
        for text in
            ["", "a plane", "{", "{}", "[3, 5, 6]", r#"{"axes": "YX"}"#, "images=3", "<x/>", "shape=", "shape=(a)"]
        {
            assert_eq!(grey(text), 1, "{text}");
        }
        for one in ["[5, 6]", "[1, 5, 6]", "[5, 6, 1]", "[1, 1, 5, 6, 1]", "[9, 9]"] {
            assert_eq!(grey(&format!("{{\"shape\": {one}}}")), 1, "{one}");
        }
        for three in ["[3, 5, 6]", "[3, 1, 5, 6]", "[1, 3, 5, 6, 1]"] {
            assert_eq!(grey(&format!("{{\"shape\": {three}, \"truncated\": true}}")), 3, "{three}");
        }
        assert_eq!(grey("shape=(3, 5, 6)"), 3);
        assert_eq!(grey(r#"{"shape": [2, 9, 9]}"#), 5);
        assert_eq!(grey(r#"{"shape": [2, 2, 2]}"#), 2, "it is none of this page, and a stack");
        assert_eq!(grey(&format!("{{\"shape\": [{0}, {0}, 5, 6]}}", u64::MAX)), u64::MAX);
        assert_eq!(planes_of_text(r#"{"shape": [5, 6, 3]}"#, [5, 6, 3]), 1);
        assert_eq!(planes_of_text(r#"{"shape": [3, 5, 6]}"#, [5, 6, 3]), 1, "planar");
        assert_eq!(planes_of_text(r#"{"shape": [2, 5, 6, 3]}"#, [5, 6, 3]), 2);
        assert_eq!(grey("ImageJ=1.54f\nimages=12\nslices=12\n"), 12);
        assert_eq!(grey("ImageJ=1.54f\nchannels=2\nslices=3\nframes=4\nhyperstack=true\n"), 24);
        assert_eq!(grey("ImageJ=1.54f\nunit=micron\nmin=3\n"), 1);
        assert_eq!(grey("<OME><Pixels SizeT='4'/></OME>"), 4);
    }
}
