//! Reading ahead: the system is asked to bring a chunk into memory before it is needed, so that the disk has many
//! requests to work on while the processor copies or decodes.

use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::store::format::index::ChunkPlace;

/// Bytes asked for at a time. Linux reads no more than a device's read-ahead for one request, and 128 KiB is the usual
/// one.
const STEP: u64 = 128 << 10;

/// Begins to read a chunk, unless it is in memory. What the system refuses it does not do, and the chunk is read when
/// it is needed.
pub(super) fn read_ahead(file: &File, ChunkPlace { offset, length }: ChunkPlace) {
    if is_in_memory(file, ChunkPlace { offset, length }) {
        return;
    }
    for start in (0..length).step_by(STEP as usize) {
        if fadvise(file, offset + start, NonZeroU64::new(STEP.min(length - start)), Advice::WillNeed).is_err() {
            return;
        }
    }
}

/// Whether a chunk is in memory. Asking for each page is much beside copying them; so two bytes tell for all.
pub(super) fn is_in_memory(file: &File, ChunkPlace { offset, length }: ChunkPlace) -> bool {
    length == 0 || [offset, offset + length - 1].iter().all(|&at| is_byte_in_memory(file, at))
}

/// Whether reading a byte would not wait for the disk. Where a file system cannot say (as NFS), it would.
fn is_byte_in_memory(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT).is_ok()
}
