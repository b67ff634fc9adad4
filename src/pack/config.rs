//! What to pack, where to, and how.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::site::{Dtype, ParseError, parse_number};
use crate::source::SourceConfig;
use crate::store::{Changes, Codec};

/// What to do about faults of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Examine everything, report every fault, and do not finish the store. Plates without a fault are kept.
    Fail,
    /// Leave the site out and list it in `rejected.csv`.
    Skip,
}

/// Which part of the plates this process packs: `I/N`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// From 0.
    index: usize,
    of: usize,
}

impl Partition {
    /// All plates.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    pub(super) fn has(self, plate: usize) -> bool {
        plate % self.of == self.index
    }
}

impl FromStr for Partition {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = |(i, n): (&str, &str)| Some((parse_number::<usize>(i)?, parse_number::<usize>(n)?));
        match text.split_once('/').and_then(parse) {
            Some((i, of)) if (1..=of).contains(&i) => Ok(Self { index: i - 1, of }),
            _ => Err(ParseError { expected: "a part such as 1/3", found: text.to_owned() }),
        }
    }
}

/// What to pack, where to, and how.
#[derive(Debug, Clone)]
pub struct PackConfig {
    /// The raw tree, or a store, of which the root and the plates that are wanted are all that may be set.
    pub source: SourceConfig,
    /// The store's folder.
    pub dst: PathBuf,
    /// The codec; where `None`, zstd at level 3 for 8 bits and at level 1 for 16.
    pub codec: Option<Codec>,
    /// Sites a shard; where `None` as in the source store, or 121 MB of raw pixels, but at most 77.
    pub sites_per_shard: Option<u32>,
    /// Threads that decode and encode; as many again read and write.
    pub threads: usize,
    /// What to do about faults.
    pub on_error: OnError,
    /// The part of the plates.
    pub partition: Partition,
    /// Names of the channels; where empty, RxRx1's stains in its own layouts with six, else `w1`, `w2` as in file names.
    pub channel_names: Vec<String>,
    /// Whether siRNAs that the store does not know become new classes of it.
    pub add_classes: bool,
    /// Whether to compare the content of all sources, and of the store's own files, not only sizes and times.
    pub rehash: bool,
    /// Whether sites that the store holds and the source no longer has are removed. Else their plates stay as they are.
    pub prune: bool,
}

impl PackConfig {
    /// A tree or a store, packed whole into `dst` by one thread, as all flags are where nothing is asked for.
    #[must_use]
    pub fn new(src: &Path, dst: &Path) -> Self {
        Self {
            source: SourceConfig { root: src.to_owned(), ..SourceConfig::default() },
            dst: dst.to_owned(),
            codec: None,
            sites_per_shard: None,
            threads: 1,
            on_error: OnError::Fail,
            partition: Partition::WHOLE,
            channel_names: Vec::new(),
            add_classes: false,
            rehash: false,
            prune: false,
        }
    }

    /// The codec of a store of such pixels. Of 16 bits most are noise, of which level 3 makes little less than level 1 does
    /// (0.68 of the raw pixels beside 0.71, a real plate of an Opera Phenix), in three times as long.
    ///
    /// # Errors
    /// If it is told to be one that has no such pixels.
    pub(super) fn codec_of(&self, dtype: Dtype) -> Result<Codec> {
        let default = match dtype {
            Dtype::Uint8 => Codec::Zstd(3),
            Dtype::Uint16 => Codec::Zstd(1),
        };
        let codec = self.codec.unwrap_or(default);
        if !codec.takes(dtype) {
            let expected = format!("raw or zstd:1 to zstd:22 for pixels of {dtype}, of which most bits are noise");
            return Err(Error::refused("--codec", expected, codec));
        }
        Ok(codec)
    }

    /// What may be changed of what holds for the whole store.
    pub(super) fn changes(&self) -> Changes {
        Changes { more_classes: self.add_classes, mend: self.rehash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_disjoint_and_cover_all() {
        let parts: Vec<Partition> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).to_vec();
        assert!((0..100).all(|plate| parts.iter().filter(|part| part.has(plate)).count() == 1));
        for text in ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", ""] {
            assert!(text.parse::<Partition>().is_err(), "{text}");
        }
    }
}
