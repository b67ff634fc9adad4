use super::*;
use crate::wave::Mode;

pub(crate) fn spec(codec: Codec) -> StoreSpec {
    let size = ImageSize { height: 3, width: 5 };
    let (format, dtype) = (Format::V2, Dtype::Uint8);
    StoreSpec { present_only: false, format, channels: channels(2), size, dtype, codec, sites_per_shard: 4 }
}

fn wide(codec: Codec) -> StoreSpec {
    StoreSpec { dtype: Dtype::Uint16, ..spec(codec) }
}

#[test]
fn codecs_are_written_as_they_are_parsed() {
    for text in ["raw", "zstd:1", "zstd:22", "wave", "wave:fast"] {
        assert_eq!(text.parse::<Codec>().unwrap().to_string(), text);
    }
    for text in ["", "zstd", "zstd:0", "zstd:23", "zstd:-1", "lz4", "RAW", "wave:", "wave:small"] {
        assert!(text.parse::<Codec>().is_err(), "{text}");
    }
}

#[test]
fn a_plate_document_tells_what_it_was_made_from() {
    for spec in [
        spec(Codec::Raw),
        spec(Codec::Zstd(7)),
        spec(Codec::Wave(Mode::Small)),
        spec(Codec::Wave(Mode::Fast)),
        wide(Codec::Raw),
        wide(Codec::Zstd(3)),
    ] {
        let document = spec.plate_document(9);
        let (found, n_sites) = StoreSpec::guess_from_plate(&document).unwrap();
        assert_eq!((&found, n_sites), (&spec, 9));
        let text = String::from_utf8(document).unwrap();
        assert!(StoreSpec::guess_from_plate(text.replacen('9', "8", 1).as_bytes()).is_some());
        assert!(StoreSpec::guess_from_plate(text.replacen("\"uint", "\"int", 1).as_bytes()).is_none());
        assert!(StoreSpec::guess_from_plate(b"{}").is_none());
    }
    for mode in [Mode::Small, Mode::Fast] {
        let of_16_bits = wide(Codec::Wave(mode)).plate_document(9);
        assert!(StoreSpec::guess_from_plate(&of_16_bits).is_none(), "a codec that takes no such pixels");
    }
}

#[test]
fn a_root_document_is_read_back_and_each_lie_in_it_refused() {
    for spec in [wide(Codec::Raw), spec(Codec::Raw).in_format(Format::V1, "x").unwrap()] {
        assert_eq!(StoreSpec::parse_root(&spec.root_document(), "x").unwrap(), spec);
    }
    let good = spec(Codec::Zstd(3)).in_format(Format::V1, "x").unwrap();
    let document = good.root_document();
    assert_eq!(StoreSpec::parse_root(&document, "x").unwrap(), good);
    let text = String::from_utf8(document).unwrap();
    let older = text.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
    assert!(good.is_document_of(text.as_bytes()) && good.is_document_of(older.as_bytes()));
    let twice = text.replace("\"levels\": 256", "\"levels\": 255,\n      \"levels\": 256");
    assert!(StoreSpec::parse_root(twice.as_bytes(), "x").is_ok() && !good.is_document_of(twice.as_bytes()));
    for (from, to) in [
        ("\"format\": 1", "\"format\": 3"),
        ("      \"colour\": \"FFFFFF\",\n", ""),
        ("uint8", "uint16"),
        ("256", "512"),
        ("zstd:3", "zstd:99"),
        ("\"sites_per_shard\": 4", "\"sites_per_shard\": 0"),
        ("\"sites_per_shard\": 4", "\"sites_per_shard\": 4294967295"),
        ("      3,\n", "      0,\n"),
        ("      3,\n", "      70000,\n"),
        ("group", "array"),
        ("producer", "product"),
        ("FFFFFF", "x"),
        ("FFFFFF", "ffffff"),
        ("\"w2\"", "\"\""),
        ("\"w2\"", "\"\\u001b[2J\""),
        ("\"w2\"", "\"\\u202e\""),
        ("}", ""),
    ] {
        assert!(text.contains(from), "{from}");
        let bad = text.replacen(from, to, 1);
        assert!(StoreSpec::parse_root(bad.as_bytes(), "x").is_err(), "{from} -> {to}");
    }
    let text = String::from_utf8(wide(Codec::Raw).root_document()).unwrap();
    for (from, to) in [("uint16", "uint8"), ("65536", "256"), ("\"format\": 2", "\"format\": 1")] {
        assert!(text.contains(from), "{from}");
        assert!(StoreSpec::parse_root(text.replacen(from, to, 1).as_bytes(), "x").is_err(), "{from} -> {to}");
    }
}

#[test]
fn a_store_of_format_1_has_numbered_plates_of_8_bits_and_stays_so() {
    let first = spec(Codec::Raw).in_format(Format::V1, "x").unwrap();
    let back = first.in_format(Format::V2, "x").unwrap();
    assert_eq!(back, spec(Codec::Raw), "no colour is a colour of format 1");
    assert!(wide(Codec::Raw).in_format(Format::V1, "x").unwrap_err().to_string().contains("uint16"));
    for (plate, is_known) in [("a/Plate1", true), ("a/BR00121482", false), ("a/070", false)] {
        let plate = plate.parse().unwrap();
        assert_eq!(first.check_plate(&plate).is_ok(), is_known, "{plate}");
        assert!(back.check_plate(&plate).is_ok(), "{plate}");
    }
}
