//! What images are is said where a plan is made: why none can be packed, and what may be meant otherwise.

use cellshard::pack::plan;
use png::{BitDepth, ColorType};
use tempfile::TempDir;

use crate::common::encode_png;
use crate::patterns::{config, write};

/// A raw TIFF of 2 x 2 pixels with these tags, each of one value, and such bytes.
fn tiff(tags: &[(u16, u32)], data: &[u8]) -> Vec<u8> {
    let at = 8 + 2 + 12 * tags.len() as u32 + 4;
    let mut file: Vec<u8> = b"II*\0\x08\0\0\0".into();
    file.extend((tags.len() as u16).to_le_bytes());
    for &(tag, value) in tags {
        let value = if tag == 273 { at } else { value };
        file.extend([&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file.extend(data);
    file
}

/// Grey of so many bits and such a format, and what else is given.
fn grey(bits: u32, photometric: u32, format: u32, n_bytes: usize) -> Vec<u8> {
    let n = 4 * bits.div_ceil(8);
    let tags = [(256, 2), (257, 2), (258, bits), (259, 1), (262, photometric), (273, 0), (279, n), (339, format)];
    tiff(&tags, &vec![7; n_bytes])
}

#[test]
fn where_no_image_can_be_packed_the_first_is_named_with_what_it_is() {
    let check = |file: &[u8], part: &str| {
        let dir = TempDir::new().unwrap();
        write(dir.path(), "P/A01.tif", file);
        write(dir.path(), "P/A02.tif", file);
        let error = plan(&config(&dir, "{plate}/{well}.tif")).unwrap_err().to_string();
        assert!(error.ends_with(&format!("found P/A01.tif: {part}")), "{error}");
    };
    check(&grey(32, 1, 3, 16), "32-bit floating-point grey");
    check(&grey(16, 1, 2, 8), "16-bit signed grey");
    check(&grey(32, 1, 1, 16), "32-bit grey");
    check(&grey(1, 1, 1, 4), "1-bit grey");
    check(&grey(8, 0, 1, 4), "8-bit grey in which white is zero");
    check(&grey(8, 3, 1, 4), "8-bit palette");
    let mut short = grey(8, 1, 1, 4);
    short[10 + 8..10 + 12].copy_from_slice(&400_u32.to_le_bytes());
    short[22 + 8..22 + 12].copy_from_slice(&400_u32.to_le_bytes());
    check(&short, "114 bytes, too few for 400 x 400 pixels");
    check(b"GIF89a.......", "expected a PNG, a TIFF, a BMP, or a binary PGM or PPM, found GIF, which is not read");
}

#[test]
fn three_planes_that_are_called_colours_are_told_and_pixels_of_three_samples_are_not() {
    // As tifffile writes a stack of three planes that it is told nothing of.
    let unusual = |file: &[u8]| {
        let dir = TempDir::new().unwrap();
        write(dir.path(), "P/A01.tif", file);
        plan(&config(&dir, "{plate}/{well}.tif")).unwrap().0.unusual
    };
    let tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 2), (273, 0), (277, 3), (279, 3), (284, 1)];
    assert_eq!(unusual(&tiff(&tags, &[1, 2, 3])), [""; 0]);
    let planar = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/images/rgb8-planar.tif")).unwrap();
    let told = "three planes of an image are taken for red, green and blue, as its file says (P/A01.tif)";
    assert_eq!(unusual(&planar), [told]);
}

#[test]
fn an_image_that_is_all_of_its_site_lacks_no_channel_of_a_known_data_set() {
    let dir = TempDir::new().unwrap();
    let header = "site_id,well_id,cell_type,dataset,experiment,plate,well,site,well_type,sirna,sirna_id\n";
    let row = |well: &str, split: &str, class: u16| {
        format!("H-1_1_{well}_1,H-1_1_{well},H,{split},H-1,1,{well},1,treatment,s{class},{class}\n")
    };
    write(dir.path(), "metadata.csv", [header, &row("B02", "train", 1), &row("B03", "test", 2)].concat().as_bytes());
    for name in ["B02_s1", "B03_s1"] {
        let rgb = encode_png((2, 2), &[1, 2, 3].repeat(4), ColorType::Rgb, BitDepth::Eight);
        write(dir.path(), &format!("images/H-1/Plate1/{name}.png"), &rgb);
    }
    let (plan, faults) = plan(&config(&dir, "wilds")).unwrap();
    assert_eq!(faults, []);
    assert!(!plan.unusual.iter().any(|text| text.contains("channels")), "{:?}", plan.unusual);
}
