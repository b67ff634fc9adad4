//! zarrs, which shares no code with us, reads what we pack: the same pixels and counts, chunks where our index says, on
//! pages where they are raw; and it refuses what is damaged.

#[path = "../../tests/common/tree.rs"]
#[allow(dead_code, unreachable_pub, reason = "the other crates' tests use the rest")]
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cellshard::pack::{PackConfig, pack};
use cellshard::site::{SiteId, WellId};
use cellshard::store::{Codec, Store};
use cellshard::wave::Mode;
use tree::{Fixture, TreeSpec, label, site_pixels, small};
use zarrs::array::{Array, ArrayShardedExt, ArrayShardedReadableExt, ArrayShardedReadableExtCache, ArraySubset};
use zarrs::filesystem::FilesystemStore;
use zarrs::group::Group;
use zarrs::node::Node;

/// Sites that a shard holds; a plate has 12, so that its last shard is not full.
const PER_SHARD: u64 = 5;
const PAGE: u64 = 4096;
const CODECS: [Codec; 2] = [Codec::Raw, Codec::Zstd(3)];

type Opened = Array<FilesystemStore>;

/// A packed tree, its sites of 3 x 37 x 52 bytes: more than a page, and no multiple of one.
struct Packed {
    fixture: Fixture,
    store: Store,
    zarr: Arc<FilesystemStore>,
}

impl Packed {
    fn new(codec: Codec) -> Self {
        let fixture = Fixture::kaggle(TreeSpec { channels: 3, size: (52, 37), ..small() });
        let config = PackConfig { codec: Some(codec), sites_per_shard: Some(PER_SHARD as u32), ..fixture.config() };
        pack(&config, &|_| {}).unwrap();
        let store = Store::open(&fixture.store()).unwrap();
        let zarr = Arc::new(FilesystemStore::new(fixture.store().join("pixels.zarr")).unwrap());
        Self { fixture, store, zarr }
    }

    fn array(&self, path: &str) -> Opened {
        Array::open(self.zarr.clone(), path).unwrap()
    }

    /// Each plate with its array.
    fn plates(&self) -> Vec<(String, Opened)> {
        let names = self.store.plates().keys().map(ToString::to_string);
        names.map(|name| (name.clone(), self.array(&format!("/{name}")))).collect()
    }

    fn shard(&self, plate: &str, shard: u64) -> PathBuf {
        self.fixture.store().join(format!("pixels.zarr/{plate}/c/{shard}/0/0/0"))
    }

    /// The pixels of each site of a plate in the order of rows, as they were made.
    fn truth(&self, plate: &str) -> Vec<Vec<u8>> {
        let sites = self.store.sites().iter().filter(|site| site.id.well.plate.to_string() == plate);
        let rows: BTreeMap<u32, Vec<u8>> = sites.map(|site| (site.row, self.made(&site.id))).collect();
        rows.into_values().collect()
    }

    /// The pixels of a site, as they were made.
    fn made(&self, id: &SiteId) -> Vec<u8> {
        let WellId { plate, well } = &id.well;
        site_pixels(&self.fixture.spec, &plate.experiment.to_string(), &plate.plate, &well.to_string(), id.site)
    }

    /// The pixels of a site, as we read them.
    fn ours(&self, id: &SiteId) -> cellshard::Result<Vec<u8>> {
        let WellId { plate, well } = &id.well;
        self.store.site(&plate.experiment.to_string(), &plate.plate, &well.to_string(), id.site)
    }
}

/// One site of an array, by zarrs.
fn site(array: &Opened, row: u64) -> Result<Vec<u8>, String> {
    let mut ranges: Vec<_> = array.shape().iter().map(|&side| 0..side).collect();
    ranges[0] = row..row + 1;
    array.retrieve_array_subset(&ArraySubset::new_with_ranges(&ranges)).map_err(|e| e.to_string())
}

/// All of an array, by zarrs.
fn all<T: zarrs::array::ElementOwned>(array: &Opened) -> Vec<T> {
    array.retrieve_array_subset(&ArraySubset::new_with_shape(array.shape().to_vec())).unwrap()
}

fn dimensions(array: &Opened) -> Vec<&str> {
    array.dimension_names().iter().flatten().map(|name| name.as_deref().unwrap()).collect()
}

/// The places that the index at a shard's end gives, as ARCHITECTURE.md has it: offset and length of each chunk.
fn index(shard: &[u8]) -> Vec<(u64, u64)> {
    let entries = &shard[shard.len() - 4 - 16 * PER_SHARD as usize..shard.len() - 4];
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    entries.chunks(16).map(|entry| (number(&entry[..8]), number(&entry[8..]))).collect()
}

#[test]
fn every_site_is_read_as_it_was_packed() {
    for codec in CODECS {
        let packed = Packed::new(codec);
        assert_eq!(packed.store.sites().len(), 48);
        for row in packed.store.sites() {
            let pixels = site(&packed.array(&format!("/{}", row.id.well.plate)), row.row.into()).unwrap();
            assert!(pixels == packed.ours(&row.id).unwrap(), "{codec}: {}", row.id);
        }
        for (plate, array) in packed.plates() {
            let truth = packed.truth(&plate);
            assert_eq!(array.shape(), [12, 3, 37, 52]);
            assert_eq!(*array.data_type(), zarrs::array::data_type::uint8());
            assert_eq!(dimensions(&array), ["site", "channel", "y", "x"]);
            assert!(array.is_exclusively_sharded());
            assert_eq!((array.chunk_grid_shape(), array.subchunk_grid_shape()), (&[3, 1, 1, 1][..], vec![12, 1, 1, 1]));
            assert!(all::<u8>(&array) == truth.concat(), "{codec}: {plate} at once, over its shards");
        }
    }
}

#[test]
fn chunks_lie_where_our_index_says_and_raw_ones_on_pages() {
    for codec in CODECS {
        let packed = Packed::new(codec);
        for (plate, array) in packed.plates() {
            let cache = ArrayShardedReadableExtCache::new(&array);
            let truth = packed.truth(&plate);
            for shard in 0..3 {
                let bytes = fs::read(packed.shard(&plate, shard)).unwrap();
                let places = index(&bytes);
                // 5 + 5 + 2: what the last shard has no site for is absent.
                let n_there = places.iter().filter(|place| **place != (u64::MAX, u64::MAX)).count() as u64;
                assert_eq!(n_there, if shard == 2 { 2 } else { 5 });
                for slot in 0..n_there {
                    let row = shard * PER_SHARD + slot;
                    let range = array.subchunk_byte_range(&cache, &[row, 0, 0, 0]).unwrap().unwrap();
                    let (start, end) = (range.start(bytes.len() as u64), range.end(bytes.len() as u64));
                    assert_eq!((start, end - start), places[slot as usize], "{codec}: {plate}, row {row}");
                    let chunk = &bytes[start as usize..end as usize];
                    let site = &truth[row as usize];
                    if codec == Codec::Raw {
                        assert_eq!(start, slot * (site.len() as u64).next_multiple_of(PAGE));
                        assert!(start.is_multiple_of(PAGE) && chunk == site, "{plate}: a mapped chunk is the tensor");
                    } else {
                        assert_eq!(start, places[..slot as usize].iter().map(|(_, length)| length).sum::<u64>());
                        let (frame, crc) = chunk.split_at(chunk.len() - 4);
                        assert_eq!(crc32c::crc32c(frame).to_le_bytes(), crc);
                    }
                }
            }
        }
    }
}

#[test]
fn statistics_are_arrays_that_hold_the_counts() {
    let packed = Packed::new(Codec::Zstd(3));
    let (histogram, comoments) = (packed.array("/statistics/histogram"), packed.array("/statistics/comoments"));
    assert_eq!(dimensions(&histogram), ["plate", "population", "channel", "level"]);
    assert_eq!(dimensions(&comoments), ["plate", "population", "channel", "other channel"]);
    let names = |of: &str| -> Vec<String> { serde_json::from_value(histogram.attributes()[of].clone()).unwrap() };
    let (plates, populations) = (names("plates"), names("populations"));
    assert_eq!(plates, packed.store.plates().keys().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(histogram.shape(), [plates.len() as u64, populations.len() as u64, 3, 256]);
    let mut counts = vec![0_u64; plates.len() * populations.len() * 3 * 256];
    let mut products = vec![0_u64; plates.len() * populations.len() * 9];
    for row in packed.store.sites() {
        let WellId { plate, well } = &row.id.well;
        let at = plates.iter().position(|name| *name == plate.to_string()).unwrap();
        let population = populations.iter().position(|name| name == label(&well.to_string()).1).unwrap();
        let at = at * populations.len() + population;
        let pixels = packed.made(&row.id);
        let channels: Vec<&[u8]> = pixels.chunks(37 * 52).collect();
        for (a, channel) in channels.iter().enumerate() {
            for &level in *channel {
                counts[(at * 3 + a) * 256 + usize::from(level)] += 1;
            }
            for (b, other) in channels.iter().enumerate() {
                let sum: u64 = channel.iter().zip(*other).map(|(&x, &y)| u64::from(x) * u64::from(y)).sum();
                products[(at * 3 + a) * 3 + b] += sum;
            }
        }
    }
    assert_eq!(counts.iter().sum::<u64>(), 48 * 3 * 37 * 52);
    assert!(all::<u64>(&histogram) == counts, "histogram");
    assert_eq!(all::<u64>(&comoments), products);
}

#[test]
fn the_hierarchy_lists_every_plate_and_the_root_says_how_it_was_packed() {
    for codec in CODECS {
        let packed = Packed::new(codec);
        let root = Group::open(packed.zarr.clone(), "/").unwrap();
        assert_eq!(root.attributes()["cellshard"]["codec"], codec.to_string());
        let mut arrays = Vec::new();
        let mut nodes = vec![Node::open(&packed.zarr, "/").unwrap()];
        while let Some(node) = nodes.pop() {
            if matches!(node.metadata(), zarrs::node::NodeMetadata::Array(_)) {
                arrays.push(node.path().to_string());
            }
            nodes.extend(node.children().iter().cloned());
        }
        arrays.sort();
        let plates = ["/HEPG2-01/Plate1", "/HEPG2-01/Plate2", "/RPE-02/Plate1", "/RPE-02/Plate2"];
        assert_eq!(arrays, [&plates[..], &["/statistics/comoments", "/statistics/histogram"]].concat());
    }
}

#[test]
fn a_plate_of_wave_is_refused_by_the_codecs_name() {
    for mode in [Mode::Small, Mode::Fast] {
        let packed = Packed::new(Codec::Wave(mode));
        let refused = match Array::open(packed.zarr.clone(), "/RPE-02/Plate2") {
            Err(error) => error.to_string(),
            // The codecs of a shard are looked at when its chunks are.
            Ok(array) => site(&array, 0).unwrap_err(),
        };
        assert!(refused.contains("cellshard.wave"), "{refused}");
    }
}

#[test]
fn a_flipped_byte_in_an_index_is_refused() {
    for codec in CODECS {
        let packed = Packed::new(codec);
        let plate = "RPE-02/Plate2";
        let path = packed.shard(plate, 2);
        let whole = fs::read(&path).unwrap();
        let id = &packed.store.sites().iter().rfind(|site| site.row == 11).unwrap().id;
        assert!(site(&packed.array(&format!("/{plate}")), 11).unwrap() == packed.ours(id).unwrap());
        // Entries of chunks that are there, of such that are absent, and the index's own checksum.
        for at in whole.len() - (16 * PER_SHARD as usize + 4)..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            let error = site(&packed.array(&format!("/{plate}")), 11).unwrap_err();
            assert!(error.contains("checksum"), "byte {at}: {error}");
            assert!(packed.ours(id).unwrap_err().to_string().contains("index crc32c"));
        }
    }
}

#[test]
fn a_flipped_byte_in_a_compressed_chunk_is_refused() {
    let packed = Packed::new(Codec::Zstd(3));
    let plate = "HEPG2-01/Plate1";
    let path = packed.shard(plate, 0);
    let whole = fs::read(&path).unwrap();
    let (start, length) = index(&whole)[1];
    // Where zarrs 0.23 reads a part of a shard, it takes a chunk's crc32c off unread; where it reads all, it checks it.
    let shard = |at: u64| packed.array(&format!("/{plate}")).retrieve_chunk::<Vec<u8>>(&[at, 0, 0, 0]);
    for at in [start, start + length / 2, start + length - 5, start + length - 1] {
        let mut damaged = whole.clone();
        damaged[at as usize] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = shard(0).unwrap_err().to_string();
        assert!(error.contains("checksum"), "byte {at}: {error}");
        let damaged = packed.store.sites().iter().find(|site| site.row == 1).unwrap();
        assert!(packed.ours(&damaged.id).is_err());
        assert!(shard(1).unwrap() == packed.truth(plate)[5..10].concat(), "the next shard is whole");
    }
}

#[test]
fn zarrs_finds_every_pixel_of_16_bits() {
    for codec in CODECS {
        let dir = tempfile::tempdir().unwrap();
        let (data, dst) = (dir.path().join("data"), dir.path().join("store"));
        let made = |well: &str, site: u16, channel: u16| -> Vec<u16> {
            let seed = well.bytes().fold(site * 7 + channel, |seed, b| seed.wrapping_mul(31).wrapping_add(b.into()));
            (0..41_u16 * 30).map(|i| i.wrapping_mul(257).wrapping_add(seed)).collect()
        };
        let wells = ["A01", "AF48"];
        fs::create_dir_all(data.join("BR00121482")).unwrap();
        for (well, site, channel) in wells.iter().flat_map(|well| (1..=4).map(move |i| (well, 1 + i / 3, 1 + i % 2))) {
            let bytes: Vec<u8> = made(well, site, channel).into_iter().flat_map(u16::to_be_bytes).collect();
            let png = tree::encode_png((41, 30), &bytes, png::ColorType::Grayscale, png::BitDepth::Sixteen);
            fs::write(data.join(format!("BR00121482/{well}_f{site}_c{channel}.png")), png).unwrap();
        }
        let mut config = PackConfig { codec: Some(codec), sites_per_shard: Some(3), ..PackConfig::new(&data, &dst) };
        config.source.pattern = Some("{plate}/{well}_f{site}_c{channel}.png".parse().unwrap());
        assert!(pack(&config, &|_| {}).unwrap().finished);
        let zarr = Arc::new(FilesystemStore::new(dst.join("pixels.zarr")).unwrap());
        let array: Opened = Array::open(zarr, "/experiment/BR00121482").unwrap();
        let pixels = array.retrieve_array_subset::<Vec<u16>>(&array.subset_all()).unwrap();
        let sites = wells.iter().flat_map(|well| [1, 2].map(|site| (well, site)));
        let expected: Vec<u16> =
            sites.flat_map(|(well, site)| [1, 2].map(|channel| made(well, site, channel)).concat()).collect();
        assert_eq!(pixels, expected);
    }
}
