//! The parts of the way from the disk to a batch.

use crate::feed::{Io, Verify};
use crate::store::Codec;

use super::limits::Limit;

/// One part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A part by itself: the most that it can give.
    Limit(Limit),
    /// The feed when nothing is in memory.
    ColdFeed,
    /// The feed on sites that are in memory.
    WarmFeed(Checked),
}

/// When the feed checks a site's crc32c.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checked {
    /// Never.
    Never,
    /// When it is first read; measured after that.
    First,
    /// Every time.
    Always,
}

impl Checked {
    pub(super) fn verify(self) -> Verify {
        match self {
            Self::Never => Verify::Never,
            Self::First => Verify::First,
            Self::Always => Verify::Always,
        }
    }
}

impl Part {
    /// All parts that a codec has, in the order in which pixels pass them.
    #[must_use]
    pub fn of(codec: Codec) -> Vec<Self> {
        let unpack: &[Limit] = if codec == Codec::Raw { &[Limit::Memcpy, Limit::Copy] } else { &[Limit::Decode] };
        let limits = [Limit::Disk, Limit::PageCache, Limit::Checksum].iter().chain(unpack).copied().map(Self::Limit);
        let feeds =
            [Self::ColdFeed].into_iter().chain([Checked::Never, Checked::First, Checked::Always].map(Self::WarmFeed));
        limits.chain(feeds).collect()
    }

    /// The part that it cannot be faster than.
    #[must_use]
    pub fn limit(self, codec: Codec, io: Io) -> Option<Limit> {
        match self {
            Self::Limit(_) => None,
            Self::ColdFeed => Some(Limit::Disk),
            Self::WarmFeed(_) if codec == Codec::Raw && io == Io::Pread => Some(Limit::PageCache),
            Self::WarmFeed(_) if codec == Codec::Raw => Some(Limit::Copy),
            Self::WarmFeed(_) => Some(Limit::Decode),
        }
    }

    /// What it is, for a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit(limit) => limit.name(),
            Self::ColdFeed => "feed, nothing in memory",
            Self::WarmFeed(Checked::Never) => "feed, no checksum verified",
            Self::WarmFeed(Checked::First) => "feed, verified at first read (after it)",
            Self::WarmFeed(Checked::Always) => "feed, verified at every read",
        }
    }
}
