//! Reading a store: its sites and classes, and the pixels of a site. Needs no PNG and trusts no byte.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::checksum::crc32c;
use crate::classes::Classes;
use crate::error::{Error, Result, read_file, read_text};
use crate::site::{PlateId, SiteId};

use super::ahead::{is_in_memory, read_ahead};
use super::chunk::Decoder;
use super::index::{ChunkPlace, decode_index, index_bytes};
use super::map::MappedShard;
use super::merge::METADATA;
use super::rows::{SiteRow, from_csv};
use super::spec::{Codec, PIXELS, StoreSpec, ZARR_JSON, shard_path};
use super::write::{CLASSES, SHA256SUMS};

/// A finished store, open for reading.
///
/// ```no_run
/// let store = cellshard::store::Store::open("shards".as_ref())?;
/// let pixels: Vec<u8> = store.site("HEPG2-08", 1, "B02", 1)?; // [C, H, W]
/// # Ok::<(), cellshard::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    spec: StoreSpec,
    classes: Classes,
    sites: Vec<SiteRow>,
    by_id: HashMap<SiteId, usize>,
    n_sites: BTreeMap<PlateId, usize>,
}

impl Store {
    /// Opens a store and reads its metadata.
    ///
    /// # Errors
    /// If it is not finished, not of format 1, or its metadata contradicts itself.
    pub fn open(root: &Path) -> Result<Self> {
        if !root.join(PIXELS).is_dir() {
            let expected = format!("a store (a folder with {PIXELS})");
            return Err(Error::refused(root.display(), expected, "none"));
        }
        if !root.join(SHA256SUMS).is_file() {
            return Err(Error::Unfinished { path: root.to_owned() });
        }
        let spec = read_spec(root)?;
        let metadata = root.join(METADATA);
        let sites = from_csv::<SiteRow>(&read_text(&metadata)?, &metadata.display().to_string())?;
        let classes_path = root.join(CLASSES);
        let classes = Classes::parse(&read_text(&classes_path)?, &classes_path.display().to_string())?;
        let mut by_id = HashMap::with_capacity(sites.len());
        let mut n_sites: BTreeMap<PlateId, usize> = BTreeMap::new();
        for (i, site) in sites.iter().enumerate() {
            let place = || format!("{}:{}", metadata.display(), i + 2);
            let next = n_sites.entry(site.id.well.plate.clone()).or_default();
            if site.row as usize != *next {
                return Err(Error::malformed(place(), format!("row {next} of its plate"), site.row));
            }
            *next += 1;
            if by_id.insert(site.id.clone(), i).is_some() {
                return Err(Error::malformed(place(), "each site once", format!("{} again", site.id)));
            }
            if let Some(class) = site.label.class.filter(|&class| !classes.contains(class)) {
                return Err(Error::malformed(place(), format!("a class of {CLASSES}"), class));
            }
        }
        Ok(Self { root: root.to_owned(), spec, classes, sites, by_id, n_sites })
    }

    /// The folder of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Channels, image size, codec.
    #[must_use]
    pub fn spec(&self) -> &StoreSpec {
        &self.spec
    }

    /// The classes.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// All sites, plate by plate, in the order of the arrays.
    #[must_use]
    pub fn sites(&self) -> &[SiteRow] {
        &self.sites
    }

    /// The plates that have sites, and how many.
    #[must_use]
    pub fn plates(&self) -> &BTreeMap<PlateId, usize> {
        &self.n_sites
    }

    /// The pixels of one site, `[C, H, W] u8`, proven by its crc32c.
    ///
    /// # Errors
    /// If there is no such site, or its pixels are damaged.
    pub fn site(&self, experiment: &str, plate: u16, well: &str, site: u16) -> Result<Vec<u8>> {
        let id = SiteId::new(experiment, plate, well, site);
        let found = id.ok().and_then(|id| self.by_id.get(&id));
        let row = found.map(|&i| &self.sites[i]).ok_or_else(|| Error::NoSuchSite {
            path: self.root.clone(),
            site: format!("{experiment} {plate} {well} {site}"),
        })?;
        let per_shard = self.spec.sites_per_shard as usize;
        let shard = self.shard(&row.id.well.plate, row.row as usize / per_shard)?;
        let mut pixels = vec![0; self.spec.site_bytes()];
        shard.read(row.row as usize % per_shard, &mut Decoder::default(), &mut Vec::new(), &mut pixels)?;
        let found = crc32c(&pixels);
        if found != row.crc32c {
            let place = format!("{}: site {}", shard.path.display(), row.id);
            return Err(Error::malformed(place, format!("crc32c {:08x}", row.crc32c), format!("{found:08x}")));
        }
        Ok(pixels)
    }

    /// Opens one shard of a plate.
    ///
    /// # Errors
    /// If the plate has no such shard, or it is damaged.
    pub fn shard(&self, plate: &PlateId, shard: usize) -> Result<Shard> {
        let n_sites = self.n_sites.get(plate).copied().unwrap_or(0);
        Shard::open(&self.root, &self.spec, plate, shard, n_sites)
    }
}

/// Opens the file of a shard. One that is not there is a fault of the data, where one that cannot be read is the machine's.
///
/// # Errors
/// If there is no such file, it is none, or it cannot be opened.
pub(crate) fn open_shard(path: &Path, options: &OpenOptions) -> Result<File> {
    // Looked at before it is opened: opening a pipe would wait for someone to write into it.
    match fs::metadata(path) {
        Ok(found) if found.is_file() => options.open(path).map_err(Error::io(path, "open")),
        Ok(_) => Err(Error::malformed(path.display(), "a shard", "no regular file")),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::malformed(path.display(), "a shard", "no file")),
        Err(e) => Err(Error::io(path, "look at")(e)),
    }
}

/// Reads the document that says what holds for the whole store.
///
/// # Errors
/// If it is not there or not of format 1.
pub fn read_spec(root: &Path) -> Result<StoreSpec> {
    let path = root.join(PIXELS).join(ZARR_JSON);
    StoreSpec::parse_root(&read_file(&path)?, &path.display().to_string())
}

/// One shard, read chunk by chunk: a file that shrinks meanwhile ends in an error.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
    file: File,
    spec: StoreSpec,
    places: Vec<ChunkPlace>,
}

impl Shard {
    /// Opens shard `shard` of a plate of `n_sites` sites in the store at `root`, and checks its index.
    ///
    /// # Errors
    /// If there is no such file, or its index is damaged or lies.
    pub fn open(root: &Path, spec: &StoreSpec, plate: &PlateId, shard: usize, n_sites: usize) -> Result<Self> {
        let path = root.join(shard_path(plate, shard));
        let file = open_shard(&path, File::options().read(true))?;
        let size = file.metadata().map_err(Error::io(&path, "look at"))?.len();
        let index = index_bytes(spec.sites_per_shard);
        let Some(data_bytes) = size.checked_sub(index as u64) else {
            let expected = format!("an index of {index} bytes at its end");
            return Err(Error::malformed(path.display(), expected, format!("a file of {size} bytes")));
        };
        let mut bytes = vec![0; index];
        file.read_exact_at(&mut bytes, data_bytes).map_err(Error::io(&path, "read the index of"))?;
        let per_shard = spec.sites_per_shard as usize;
        let n_chunks = n_sites.saturating_sub(shard * per_shard).min(per_shard);
        let places = decode_index(&bytes, spec, n_chunks, data_bytes, &path.display().to_string())?;
        Ok(Self { path, file, spec: spec.clone(), places })
    }

    /// Reads chunk `slot` into `pixels`, `[C, H, W] u8`. `scratch` holds the stored bytes where they are not the pixels; it
    /// and `decoder` may be kept from one call to the next.
    ///
    /// # Errors
    /// If the file cannot be read that far, or the chunk is damaged. The site's own crc32c is the caller's to compare.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`, or `pixels` is not of the size of a site.
    pub fn read(&self, slot: usize, decoder: &mut Decoder, scratch: &mut Vec<u8>, pixels: &mut [u8]) -> Result<()> {
        assert_eq!(pixels.len(), self.spec.site_bytes(), "[C, H, W] bytes");
        let ChunkPlace { offset, .. } = self.places[slot];
        // The index was refused unless a raw chunk is as long as a site, so nothing is left to decode.
        if self.spec.codec == Codec::Raw {
            return self.read_at(pixels, offset);
        }
        self.read_stored(slot, scratch)?;
        decoder.decode(&self.spec, scratch, pixels, &|| format!("{}: chunk {slot}", self.path.display()))
    }

    /// Reads the stored bytes of chunk `slot` into `chunk`, which is made as long as they are.
    ///
    /// # Errors
    /// If the file cannot be read that far.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`.
    pub fn read_stored(&self, slot: usize, chunk: &mut Vec<u8>) -> Result<()> {
        let ChunkPlace { offset, length } = self.places[slot];
        chunk.resize(length as usize, 0);
        self.read_at(chunk, offset)
    }

    /// A file that ends too early is a fault of the data, as it is when it is mapped.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let found = self.file.metadata().map_or(0, |file| file.len());
                let expected = format!("{} bytes or more", offset + bytes.len() as u64);
                Error::malformed(self.path.display(), expected, format!("{found} bytes"))
            }
            _ => Error::io(&self.path, "read a chunk of")(e),
        })
    }

    /// Whether chunk `slot` is in memory, as far as the system says.
    ///
    /// # Panics
    /// If the shard has no such chunk.
    #[must_use]
    pub fn is_in_memory(&self, slot: usize) -> bool {
        is_in_memory(&self.file, self.places[slot])
    }

    /// Has the system begin to read chunk `slot`, unless it is in memory; waits for nothing.
    ///
    /// # Panics
    /// If the shard has no such chunk.
    pub fn read_ahead(&self, slot: usize) {
        read_ahead(&self.file, self.places[slot]);
    }

    /// How many chunks there are.
    #[must_use]
    pub fn n_chunks(&self) -> usize {
        self.places.len()
    }

    /// Stored bytes of chunk `slot`.
    ///
    /// # Panics
    /// If the shard has no chunk `slot`.
    #[must_use]
    pub fn chunk_bytes(&self, slot: usize) -> u64 {
        self.places[slot].length
    }

    /// Maps the shard into memory; see there for what must hold.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn map(self) -> Result<MappedShard> {
        MappedShard::new(self.file, self.path, self.places)
    }
}
