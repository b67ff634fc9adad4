//! How a program reads shards, as flags.

use clap::ValueEnum;

use crate::feed::{Io, Verify};

/// `--io`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum IoFlag {
    /// Mapped into memory.
    Mmap,
    /// By pread, also where a file could shrink while it is mapped.
    Pread,
}

impl From<IoFlag> for Io {
    fn from(flag: IoFlag) -> Self {
        match flag {
            IoFlag::Mmap => Self::Mmap,
            IoFlag::Pread => Self::Pread,
        }
    }
}

/// `--verify`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum VerifyFlag {
    /// Each site when it is first read.
    First,
    /// Each site every time.
    Always,
    /// No site.
    Never,
}

impl From<VerifyFlag> for Verify {
    fn from(flag: VerifyFlag) -> Self {
        match flag {
            VerifyFlag::First => Self::First,
            VerifyFlag::Always => Self::Always,
            VerifyFlag::Never => Self::Never,
        }
    }
}
