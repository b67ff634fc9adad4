use proptest::prelude::*;

use super::decode::By;
use super::model::{NEIGHBOURS, PAIRS};
use super::stream::{FAST, MODEL_BYTES};
use super::{Decoder, Encoder, Mode, Shape};
use crate::Result;

const MODES: [Mode; 2] = [Mode::Small, Mode::Fast];

fn encode(mode: Mode, shape: Shape, pixels: &[u8]) -> Vec<u8> {
    let mut stream = vec![7; 3];
    Encoder::new(mode).unwrap().encode(shape, pixels, &mut stream).unwrap();
    stream.split_off(3)
}

fn decode(by: By, shape: Shape, stream: &[u8]) -> Result<Vec<u8>> {
    let mut pixels = vec![0xaa; shape.pixels()];
    Decoder::by(by).decode(shape, stream, &mut pixels, &|| "x".into()).map(|()| pixels)
}

/// Numbers that look random, the same at every call.
fn noise(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Pixels of a kind: like an image with blobs that channels share, or what images are not.
fn pixels(kind: usize, shape: Shape, seed: u32) -> Vec<u8> {
    let mut next = noise(seed);
    let at = |i: usize| (i / shape.plane(), i % shape.plane() / shape.width, i % shape.width);
    let mut pixel = |i: usize| {
        let (c, y, x) = at(i);
        match kind {
            0 => seed as u8,
            1 => next() as u8,
            2 => (x + y) as u8 % 2 * 255,
            3 => (next() % 2 * 255) as u8,
            4 => (x / 2 + y / 4 + c * 8) as u8,
            5 => [0, 0, 0, 0, 0, 0, 0, 255][next() as usize % 8],
            _ => {
                let blob = ((x / 7 * 31 + y / 9 * 17) % 64) as u32;
                (10 + blob * (c as u32 % 3 + 1) / 2 + next() % 6 + next() % 5) as u8
            }
        }
    };
    (0..shape.pixels()).map(&mut pixel).collect()
}

fn check(shape: Shape, pixels: &[u8]) -> usize {
    let lengths = MODES.map(|mode| {
        let stream = encode(mode, shape, pixels);
        assert!(stream.len() <= pixels.len() + 1, "{shape:?}: never more than a byte longer");
        for by in By::all() {
            let found = decode(by, shape, &stream).unwrap();
            assert!(found == pixels, "{shape:?} {mode:?} by {by:?}");
        }
        stream.len()
    });
    lengths[0]
}

#[test]
fn every_kind_of_pixels_of_every_shape_comes_back_by_every_decoder() {
    let shapes = [
        (1, 1, 1),
        (12, 1, 1),
        (1, 1, 2049),
        (2, 2049, 1),
        (1, 3, 2049),
        (3, 33, 63),
        (2, 31, 64),
        (6, 32, 65),
        (1, 64, 66),
        (2, 96, 67),
        (4, 70, 100),
        (12, 40, 130),
        (9, 128, 96),
        (1, 300, 257),
    ];
    for (channels, height, width) in shapes {
        let shape = Shape { channels, height, width };
        for kind in 0..7 {
            check(shape, &pixels(kind, shape, (kind + height) as u32));
        }
    }
}

#[test]
fn what_can_be_predicted_becomes_small() {
    let shape = Shape { channels: 6, height: 256, width: 256 };
    let share = |kind| check(shape, &pixels(kind, shape, 3)) as f64 / shape.pixels() as f64;
    assert!(share(0) < 0.01 && share(4) < 0.1, "constant and ramps");
    assert!(share(6) < 0.62, "blobs with 3 bits of noise: {}", share(6));
    assert!((0.99..1.01).contains(&share(1)), "noise");
}

#[test]
fn a_decoder_is_used_for_one_shape_after_the_other() {
    let shapes = [(6, 64, 100), (2, 10, 10), (3, 200, 70), (1, 1, 1), (6, 64, 100)];
    for by in By::all() {
        let mut decoder = Decoder::by(by);
        for (i, (channels, height, width)) in shapes.into_iter().enumerate() {
            let shape = Shape { channels, height, width };
            let made = pixels(6, shape, i as u32);
            for mode in MODES {
                let mut found = vec![0; made.len()];
                decoder.decode(shape, &encode(mode, shape, &made), &mut found, &|| "x".into()).unwrap();
                assert!(found == made, "{shape:?} {mode:?} by {by:?}");
            }
        }
    }
}

/// All decoders find the same, be it pixels or a fault.
fn check_damaged(shape: Shape, stream: &[u8]) -> bool {
    let found = By::all().into_iter().map(|by| decode(by, shape, stream).ok());
    let mut found: Vec<Option<Vec<u8>>> = found.collect();
    found.dedup();
    assert_eq!(found.len(), 1, "decoders agree");
    found[0].is_some()
}

#[test]
fn damage_is_an_error_or_other_pixels_and_the_same_for_every_decoder() {
    // What ends as it must is rare: a flip in a model that changes no pixel, or one in a table. Where residuals are taken
    // without looking at pixels, any flip in a model is believed: that is for the crc32c to find.
    for (mode, share) in [(Mode::Small, 50), (Mode::Fast, 20)] {
        check_every_damage(mode, share);
    }
}

/// That less than one in `share` flips is believed.
fn check_every_damage(mode: Mode, share: usize) {
    let shape = Shape { channels: 3, height: 40, width: 70 };
    let good = encode(mode, shape, &pixels(6, shape, 5));
    let mut believed = 0;
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        believed += usize::from(check_damaged(shape, &bad));
    }
    assert!(believed * share < good.len() * 8, "{believed} of {}", good.len() * 8);
    for n in 0..good.len() {
        assert!(!check_damaged(shape, &good[..n]), "cut to {n}");
    }
    assert!(!check_damaged(shape, &[&good[..], &[0]].concat()), "a byte more");
    for other in [Shape { channels: 2, ..shape }, Shape { height: 41, ..shape }, Shape { width: 71, ..shape }] {
        assert!(!check_damaged(other, &good), "{other:?}");
    }
}

#[test]
fn weights_that_do_not_fit_into_16_bits_are_damage() {
    let shape = Shape { channels: 2, height: 40, width: 70 };
    let good = encode(Mode::Small, shape, &pixels(6, shape, 5));
    // The second channel's model, after the kind and the length of the tables.
    let model = 1 + 4 + MODEL_BYTES;
    let with = |pairs: [(usize, i8); 2]| {
        let mut stream = good.clone();
        for (at, weight) in pairs {
            stream[model + at] = weight.cast_unsigned();
        }
        By::all()
            .into_iter()
            .map(|by| decode(by, shape, &stream).map_err(|error| error.to_string()))
            .collect::<Vec<_>>()
    };
    for (pair, weights) in PAIRS.into_iter().zip([[127, 2], [-128, -1], [65, 64], [-1, -128]]) {
        for found in with([(pair[0], weights[0]), (pair[1], weights[1])]) {
            let error = found.unwrap_err();
            assert!(error.contains("weights of which two fit into 16 bits"), "{weights:?}: {error}");
        }
    }
    for found in with([(NEIGHBOURS, -128), (NEIGHBOURS + 3, 0)]) {
        assert!(found.unwrap_err().contains("weights"));
    }
    // These are weights, only not those by which it was coded.
    for weights in [[127, 1], [-128, 127], [1, -128], [-64, -64]] {
        for found in with([(PAIRS[0][0], weights[0]), (PAIRS[0][1], weights[1])]) {
            assert!(found.is_ok() || found.is_err_and(|error| !error.contains("weights")), "{weights:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pixels_come_back(channels in 1usize..6, height in 1usize..100, width in 1usize..150, kind in 0usize..7, seed: u32) {
        let shape = Shape { channels, height, width };
        check(shape, &pixels(kind, shape, seed));
    }

    #[test]
    fn any_bytes_are_an_error_or_pixels(mut stream in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..4,
        height in 1usize..40, width in 1usize..80) {
        if let Some(first) = stream.first_mut().filter(|_| kind < 3) {
            *first = kind;
        }
        check_damaged(Shape { channels: 2, height, width }, &stream);
    }

    #[test]
    fn several_flips_are_the_same_to_every_decoder(flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..12), width in 60usize..140, is_fast: bool) {
        let shape = Shape { channels: 3, height: 50, width };
        let mut stream = encode(MODES[usize::from(is_fast)], shape, &pixels(6, shape, 9));
        for (at, bit) in flips {
            let at = at.index(stream.len());
            stream[at] ^= 1 << bit;
        }
        check_damaged(shape, &stream);
    }
}

/// A stream of `fixtures/wave.json`, which `tests/python/wave_decoder.py` reads, too.
#[derive(serde::Deserialize)]
struct Vector {
    shape: [usize; 3],
    pixels: String,
    stream: String,
}

#[test]
fn streams_of_this_version_stay_what_they_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wave.json");
    let vectors: Vec<Vector> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    };
    assert!(vectors.len() >= 5);
    for Vector { shape: [channels, height, width], pixels, stream } in vectors {
        let shape = Shape { channels, height, width };
        for by in By::all() {
            assert!(decode(by, shape, &bytes(&stream)).unwrap() == bytes(&pixels), "{shape:?} by {by:?}");
        }
        let stream = bytes(&stream);
        let mode = if stream[0] == FAST { Mode::Fast } else { Mode::Small };
        assert!(encode(mode, shape, &bytes(&pixels)) == stream, "the same input gives the same bytes: {shape:?}");
    }
}
