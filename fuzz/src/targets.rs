//! What is fuzzed: every parser of bytes that may be anything, and a store and a tree that are changed and then used.
//! Each target takes bytes, and panics where a promise is broken. libFuzzer calls them (`fuzz_targets/`), and so does a
//! smoke test of the library (`tests/it/fuzz.rs`), with the seeds and what once crashed.

mod foreign;
mod used;

use cellshard::classes::Classes;
use cellshard::csv_table::{Header, Rows, from_csv, kept, to_csv};
use cellshard::site::{Dtype, ImageSize};
use cellshard::source::image::{Bands, Colour, SiteDecoder, read_header};
use cellshard::store::format::index::{decode_index, index_bytes};
use cellshard::store::format::manifest;
use cellshard::store::format::rows::{ComomentRow, HistogramRow, PixelStats, Rejected, SiteRow};
use cellshard::store::format::spec::channels;
use cellshard::store::read::decode::Decoder;
use cellshard::store::{Codec, Format, StoreSpec};
use cellshard::training::evaluate::submission::{Spelling, WellTable};
use cellshard::training::recipe::Recipe;
use cellshard::wave;
use cellshard::wave::Mode;

pub use foreign::foreign_zarr;
pub use used::{store, tree};

/// What takes bytes, and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target and its name.
pub const TARGETS: [(&str, Target); 15] = [
    ("png", png),
    ("tiff", tiff),
    ("raw_images", raw_images),
    ("shard_index", shard_index),
    ("chunk", chunk),
    ("wave", wave_stream),
    ("zarr_documents", zarr_documents),
    ("lists", lists),
    ("rows", rows),
    ("classes", classes),
    ("recipe", recipe),
    ("submission", submission),
    ("foreign_zarr", foreign_zarr),
    ("tree", tree),
    ("store", store),
];

/// A PNG: the whole of it with its CRCs as they are, and with every CRC made right, so that what is behind them is
/// reached.
pub fn png(data: &[u8]) {
    let mut mended = data.to_vec();
    let mut at = 8;
    while let Some(head) = mended.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(end) = at.checked_add(length).and_then(|end| end.checked_add(12)).filter(|end| *end <= mended.len())
        else {
            break;
        };
        let crc = crc32fast::hash(&mended[at + 4..end - 4]);
        mended[end - 4..end].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
    image(data);
    image(&mended);
}

/// A TIFF.
pub fn tiff(data: &[u8]) {
    image(data);
}

/// A BMP, a PGM or a PPM.
pub fn raw_images(data: &[u8]) {
    image(data);
}

/// An image: as what its header says it is, and as what it is not.
fn image(file: &[u8]) {
    let Ok(header) = read_header(&mut std::io::Cursor::new(file)) else {
        let mut decoder = SiteDecoder::new(ImageSize { height: 1, width: 1 }, Dtype::Uint8, Colour::Grey);
        assert_eq!(decoder.decode(&[file], &mut [0]).len(), 1, "what has no header has no pixels");
        return;
    };
    let sizes = [header.size, ImageSize { height: 16, width: 16 }];
    let colours = match header.bands {
        Bands::Grey | Bands::Other => [Colour::Grey, Colour::EqualRgb],
        Bands::Rgb | Bands::Rgba => [Colour::Rgb, Colour::EqualRgb],
    };
    let dtype = header.dtype.unwrap_or(Dtype::Uint16);
    for (size, colour) in sizes.into_iter().flat_map(|size| colours.map(|colour| (size, colour))) {
        if size.pixels() > 1 << 16 {
            continue;
        }
        let of_image = size.pixels() * dtype.bytes() * colour.channels();
        let mut pixels = vec![0; 3 * of_image];
        let one = SiteDecoder::new(size, dtype, colour).decode(&[file], &mut pixels[..of_image]).len();
        let three = SiteDecoder::new(size, dtype, colour).decode(&[file, file, file], &mut pixels).len();
        assert_eq!(3 * one, three, "an image is a fault by itself or not at all");
        let images: Vec<&[u8]> = pixels.chunks(of_image).collect();
        assert!(three > 0 || (images[0] == images[1] && images[1] == images[2]), "the same image thrice");
    }
}

fn spec(codec: Codec) -> StoreSpec {
    let (size, format, dtype) = (ImageSize { height: 3, width: 5 }, Format::LATEST, Dtype::Uint8);
    StoreSpec { present_only: false, format, channels: channels(2), size, dtype, codec, sites_per_shard: 4 }
}

/// The index of a shard, its crc32c made right.
pub fn shard_index(data: &[u8]) {
    let [n_chunks, a, b, is_raw, rest @ ..] = data else { return };
    let codec = if is_raw % 2 == 0 { Codec::Raw } else { Codec::Zstd(3) };
    let mut bytes = rest.to_vec();
    bytes.resize(index_bytes(4) - 4, 0xff);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let data_bytes = u64::from(u16::from_le_bytes([*a, *b]));
    if let Ok(places) = decode_index(&bytes, &spec(codec), usize::from(n_chunks % 6), data_bytes, "x") {
        let inside = |offset: u64, length: u64| offset.checked_add(length).is_some_and(|end| end <= data_bytes);
        assert!(places.iter().all(|place| inside(place.offset, place.length)), "a chunk lies in its file");
    }
    let _ = decode_index(rest, &spec(codec), usize::from(*n_chunks), data_bytes, "x");
}

/// A chunk of zstd, its crc32c made right.
pub fn chunk(data: &[u8]) {
    let mut pixels = vec![0; 30];
    let sealed = [data, &crc32c::crc32c(data).to_le_bytes()].concat();
    for chunk in [data, &sealed] {
        for codec in [Codec::Zstd(3), Codec::Raw, Codec::Wave(Mode::Small), Codec::Wave(Mode::Fast)] {
            let _ = Decoder::default().decode(&spec(codec), chunk, &mut pixels, &|| "x".to_owned());
        }
    }
}

/// A stream of wave, for shapes with and without edges: each decoder finds the same.
pub fn wave_stream(data: &[u8]) {
    let [shape, stream @ ..] = data else { return };
    let (height, width) = [(1, 1), (5, 9), (34, 70), (32, 130)][usize::from(shape % 4)];
    let shape = wave::Shape { channels: usize::from(shape >> 2) % 5 + 1, height, width };
    let found = [wave::Decoder::reference(), wave::Decoder::default()].map(|mut decoder| {
        let mut pixels = vec![0; shape.pixels()];
        decoder.decode(shape, stream, &mut pixels, &|| "x".to_owned()).is_ok().then_some(pixels)
    });
    assert!(found[0] == found[1], "one stream, one site");
}

/// The root's document and that of a plate.
pub fn zarr_documents(data: &[u8]) {
    if let Ok(spec) = StoreSpec::parse_root(data, "x") {
        let again = StoreSpec::parse_root(&spec.root_document(), "x").expect("what is accepted can be written");
        assert_eq!(again, spec);
        let _ = spec.is_document_of(data);
    }
    if let Some((spec, n_sites)) = StoreSpec::guess_from_plate(data) {
        assert_eq!(spec.plate_document(n_sites), data);
        assert!(spec.codec.takes(spec.dtype), "pixels that the codec takes");
    }
}

/// A list of files: as it is, and sealed.
pub fn lists(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sealed = format!("{text}# sha256 {}\n", cellshard::store::format::checksum::Sha::of(text.as_bytes()));
    for text in [text, &sealed] {
        if let Ok(entries) = manifest::parse(text, "x") {
            assert_eq!(manifest::format(&entries), text, "a list that is accepted is what would be written");
            assert!(entries.iter().all(|entry| !entry.path.starts_with('/') && !entry.path.contains("..//")));
        }
    }
}

/// Every CSV of a store, with its header and without; what is accepted is read back from what is written.
pub fn rows(data: &[u8]) {
    fn one<R>(text: &str)
    where
        R: serde_bound::Row + PartialEq + std::fmt::Debug,
    {
        let with_header = format!("{}{text}", to_csv::<R>(&[]));
        for text in [text, &with_header] {
            if let Ok(rows) = from_csv::<R>(text, "x") {
                assert_eq!(from_csv::<R>(&to_csv(&rows), "x").expect("what is written is read"), rows);
            }
            let _ = kept::<R>(text, "x", |_| true);
            let _ = Rows::<R>::open(text, "x", Header::AmongOthers { optional: &[], alike: &[] }).map(Iterator::count);
        }
    }
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 5 {
        0 => one::<SiteRow>(text),
        1 => one::<PixelStats>(text),
        2 => one::<HistogramRow>(text),
        3 => one::<ComomentRow>(text),
        _ => one::<Rejected>(text),
    }
}

/// What a row has to be, in one word.
mod serde_bound {
    pub trait Row: serde::Serialize + serde::de::DeserializeOwned {}
    impl<R: serde::Serialize + serde::de::DeserializeOwned> Row for R {}
}

/// A `classes.csv`.
pub fn classes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(classes) = Classes::parse(text, "x") {
        assert_eq!(Classes::parse(&classes.to_csv(), "x").expect("what is written is read"), classes);
    }
}

/// A recipe.
pub fn recipe(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Recipe::parse(text, "x");
}

/// A CSV of wells and their classes.
pub fn submission(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let named =
        Classes::parse("class,sirna,well_type\n0,sirna_1,treatment\n1,7,treatment\n", "x").expect("two classes");
    let _ = WellTable::parse(text, "x", Spelling::new(&named, Some(&named)));
}
