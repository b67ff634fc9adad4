//! Decoding by AVX-512: what is small a channel after the other, what is fast the residuals of three channels at a time and
//! then their pixels. One of the places with `unsafe`: that the processor can is seen to here.
#![allow(unsafe_code)]

mod abreast;
mod lanes;
mod narrow;
mod vectors;

use super::channel::Channel;
use super::groups::{Memory, Room};
use crate::error::Result;

/// Whether this processor can: Intel's since 2019, AMD's since 2022.
pub(super) fn is_there() -> bool {
    macro_rules! are_there {
        ($($feature:tt)*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    are_there!("avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vbmi" "avx512vbmi2" "avx512vnni" "popcnt")
}

/// Decodes a channel of a small stream into its plane, `[y, x]`. Gives whether states and words end as they must.
///
/// # Panics
/// If the processor cannot.
pub(super) fn decode(channel: &Channel, plane: &mut [u8], room: Room) -> bool {
    assert!(is_there(), "a processor that can");
    // SAFETY: it can.
    unsafe { lanes::decode(channel, plane, room) }
}

/// Decodes all channels of a fast stream into `pixels`, `[channel, y, x]`. Gives of which channel, the first such, states
/// and words do not end as they must.
///
/// # Panics
/// If the processor cannot.
pub(super) fn decode_fast(channels: &[Channel], pixels: &mut [u8], memory: &mut Memory) -> Result<Option<usize>> {
    assert!(is_there(), "a processor that can");
    let Some(&Channel { shape, .. }) = channels.first() else { return Ok(None) };
    let mut rooms = memory.channels(shape)?;
    let mut planes = rooms.residuals();
    for some in channels.chunks(abreast::MOST) {
        // SAFETY: it can.
        if let Some(failed) = unsafe { abreast::decode(some, &mut planes) } {
            return Ok(Some(failed));
        }
    }
    drop(planes);
    for (channel, plane) in channels.iter().zip(pixels.chunks_exact_mut(shape.plane())) {
        let (residuals, references, lasts) = rooms.pixels(channel)?;
        // SAFETY: it can.
        unsafe { narrow::decode(channel, plane, residuals, references, lasts) };
    }
    Ok(None)
}
