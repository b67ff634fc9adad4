//! Reading single sites of a store into buffers of the caller's, from many threads: mapped or by pread, each site
//! proven by its crc32c. Knows no order and no batches.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::site::{PlateId, SiteId};
use crate::store::format::checksum::crc32c;
use crate::store::read::copy::copy_summed;
use crate::store::read::decode::Decoder;
use crate::store::{Codec, MappedShard, Shard, Store, shard_path};
use crate::{files, memory};

use super::shards::Shards;

/// How shards are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// Mapped into memory. A shard's length is looked at before every site; a file cut short in the moment between
    /// kills the process (SIGBUS), which only an outside hand could do: nothing of ours shortens a shard. A disk that
    /// fails while a page is read does the same.
    #[default]
    Mmap,
    /// By pread: a shard that is cut short at any time is an error.
    Pread,
}

/// When the crc32c of a site's pixels is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// The first time this reader reads the site.
    #[default]
    First,
    /// Every time.
    Always,
    /// Never; a `zstd` chunk still has its own.
    Never,
}

/// A store, open for reading sites by their index in [`Store::sites`].
pub struct Reader {
    store: Store,
    io: Io,
    verify: Verify,
    /// Of each site: its shard's index in `names`, and its slot in it.
    places: Vec<(u32, u32)>,
    /// Plate and number of each shard.
    names: Vec<(PlateId, usize)>,
    shards: Shards<OpenShard>,
    verified: Vec<AtomicBool>,
}

enum OpenShard {
    Mapped(MappedShard),
    File(Shard),
}

#[derive(Default)]
struct Scratch {
    decoder: Decoder,
    chunk: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Reader {
    /// A reader of all of a store's sites. Shards are opened when they are first needed and stay open, as far as the
    /// system allows: where that is too few of them, it is asked to allow as many files as it may.
    #[must_use]
    pub fn new(store: Store, io: Io, verify: Verify) -> Self {
        let n_shards = store.plates().values().map(|&n| store.spec().n_shards(n)).sum::<usize>();
        if files::most_kept_open() < n_shards {
            files::raise_open_files();
        }
        let most = match io {
            Io::Mmap => files::most_kept_open().min(files::most_kept_mapped()),
            Io::Pread => files::most_kept_open(),
        };
        Self::keeping_open(store, io, verify, most)
    }

    /// The same with at most so many shards open at a time.
    #[must_use]
    pub fn keeping_open(store: Store, io: Io, verify: Verify, most: usize) -> Self {
        let per_shard = store.spec().sites_per_shard as usize;
        let mut names: Vec<(PlateId, usize)> = Vec::new();
        let mut places = Vec::with_capacity(store.sites().len());
        // Sites are in the order of the arrays, so a shard's sites stand together.
        for site in store.sites() {
            let (plate, shard) = (&site.id.well.plate, site.row as usize / per_shard);
            if names.last().is_none_or(|(last, number)| last != plate || *number != shard) {
                names.push((plate.clone(), shard));
            }
            places.push((names.len() as u32 - 1, (site.row as usize % per_shard) as u32));
        }
        let shards = Shards::new(names.len(), most);
        let verified = places.iter().map(|_| AtomicBool::new(false)).collect();
        Self { store, io, verify, places, names, shards, verified }
    }

    /// The store that is read.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Bytes of one site, `[C, H, W]`.
    #[must_use]
    pub fn site_bytes(&self) -> usize {
        self.store.spec().site_bytes()
    }

    /// Reads the site at `index` of [`Store::sites`] into `pixels`, `[C, H, W]`.
    ///
    /// # Errors
    /// If its shard cannot be opened or read, or its pixels are damaged; the error names shard and site.
    ///
    /// # Panics
    /// If there is no such site, or `pixels` is not of the size of a site.
    pub fn read(&self, index: usize, pixels: &mut [u8]) -> Result<()> {
        assert_eq!(pixels.len(), self.site_bytes(), "[C, H, W] bytes");
        let (shard, slot) = self.places[index];
        let (at, slot) = (shard as usize, slot as usize);
        let row = &self.store.sites()[index];
        let shard = || {
            let (plate, shard) = &self.names[at];
            self.store.root().join(shard_path(plate, *shard)).display().to_string()
        };
        let verified = &self.verified[index];
        let check = match self.verify {
            Verify::First => !verified.load(Ordering::Relaxed),
            Verify::Always => true,
            Verify::Never => false,
        };
        let is_raw = self.store.spec().codec == Codec::Raw;
        let mut read = |open: &OpenShard, scratch: &mut Scratch| match open {
            OpenShard::Mapped(map) => {
                map.check_length()?;
                let chunk = map.chunk(slot);
                if is_raw && check && chunk.len() == pixels.len() {
                    return Ok(Some(copy_summed(chunk, pixels)));
                }
                scratch.decoder.decode(self.store.spec(), chunk, pixels, &shard).map(|()| None)
            }
            OpenShard::File(file) => file.read(slot, &mut scratch.decoder, &mut scratch.chunk, pixels).map(|()| None),
        };
        let read =
            SCRATCH.with_borrow_mut(|scratch| self.shards.with(at, || self.open(at), |open| read(open, scratch)));
        let crc = read.map_err(|error| name_site(error, &row.id))?;
        if check {
            let found = crc.unwrap_or_else(|| crc32c(pixels));
            if found != row.crc32c {
                let place = format!("{}: site {}", shard(), row.id.shown());
                return Err(Error::malformed(place, format!("crc32c {:08x}", row.crc32c), format!("{found:08x}")));
            }
            verified.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The pixels of the site at `index` of [`Store::sites`], `[C, H, W]`, in memory of their own.
    ///
    /// # Errors
    /// As [`Reader::read`]; or if there is no memory for it.
    ///
    /// # Panics
    /// If there is no such site.
    pub fn site(&self, index: usize) -> Result<Vec<u8>> {
        let mut pixels = memory::zeroed(self.site_bytes(), "a site")?;
        self.read(index, &mut pixels).map(|()| pixels)
    }

    /// The same, or why it cannot be read where that is the fault of the data or of the disk: of many sites the others
    /// can be.
    ///
    /// # Errors
    /// If it is neither's, such as a lack of memory.
    ///
    /// # Panics
    /// If there is no such site.
    pub fn site_or_damage(&self, index: usize) -> Result<Result<Vec<u8>>> {
        match self.site(index) {
            Err(error) if !error.is_data_fault() && !matches!(error, Error::Io { .. }) => Err(error),
            read => Ok(read),
        }
    }

    /// Has the system begin to read the site at `index`, unless it is in memory; waits for nothing. What is wrong with
    /// its shard shows when it is read.
    ///
    /// # Panics
    /// If there is no such site.
    pub fn read_ahead(&self, index: usize) {
        let (at, slot) = self.places[index];
        let at = at as usize;
        let _ = self.shards.with(
            at,
            || self.open(at),
            |open| {
                match open {
                    OpenShard::Mapped(map) => map.read_ahead(slot as usize),
                    OpenShard::File(file) => file.read_ahead(slot as usize),
                }
                Ok(())
            },
        );
    }

    fn open(&self, at: usize) -> Result<OpenShard> {
        let (plate, number) = &self.names[at];
        let shard = self.store.shard(plate, *number)?;
        Ok(match self.io {
            Io::Mmap => OpenShard::Mapped(shard.map()?),
            Io::Pread => OpenShard::File(shard),
        })
    }
}

/// Says of a fault of a shard for which site it was met.
fn name_site(error: Error, site: &SiteId) -> Error {
    match error {
        Error::Malformed { place, expected, found } => {
            Error::Malformed { place: format!("{place}: site {}", site.shown()), expected, found }
        }
        other => other,
    }
}
