//! Taking residuals of some channels at a time, none of which needs to know a pixel: while the lookups of one are under way
//! the others go on.

use std::arch::x86_64::{__m512i, _mm512_mask_mov_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shrdi_epi32};

use super::super::channel::Channel;
use super::super::groups::{Group, KEPT, is_inside};
use super::vectors::{Edge, States, put_residuals};
use crate::wave::tables::{BITS, IDLE};

/// As many as have room in registers.
pub(super) const MOST: usize = 3;

/// Decodes the residuals of channels, at most [`MOST`], into as many planes. Gives of which channel, the first such, states
/// and words do not end as they must.
#[target_feature(enable = "avx512f,avx512dq,avx512vbmi,avx512vbmi2,popcnt")]
pub(super) fn decode<'a>(channels: &[Channel], planes: &mut impl Iterator<Item = &'a mut [Group]>) -> Option<usize> {
    match channels {
        [a, b, c] => all([a, b, c], planes),
        [a, b] => all([a, b], planes),
        rest => rest.iter().find_map(|channel| all([channel], planes)),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vbmi,avx512vbmi2,popcnt")]
fn all<'a, const N: usize>(
    channels: [&Channel; N],
    planes: &mut impl Iterator<Item = &'a mut [Group]>,
) -> Option<usize> {
    let shape = channels[0].shape;
    let planes: [&mut [Group]; N] = std::array::from_fn(|_| planes.next().expect("one a channel"));
    let mut states = channels.map(|channel| States::new(channel));
    let mut kept = [[_mm512_setzero_si512(); 2]; N];
    for group in 0..planes[0].len() {
        let is_inside = is_inside(shape, group);
        for k in 0..KEPT {
            let mut contexts: [__m512i; 2] = [_mm512_setzero_si512(); 2];
            if !is_inside {
                let idle = _mm512_set1_epi32((IDLE << BITS) as i32);
                let edge = Edge::new(shape, group * KEPT + k);
                contexts = edge.idle.map(|lanes| _mm512_mask_mov_epi32(_mm512_setzero_si512(), lanes, idle));
            }
            for i in 0..N {
                let found = states[i].pop(contexts, channels[i].slots, channels[i].words);
                for half in 0..2 {
                    kept[i][half] = _mm512_shrdi_epi32::<8>(kept[i][half], found[half]);
                }
            }
        }
        for i in 0..N {
            put_residuals(&mut planes[i][group], kept[i]);
        }
    }
    channels.iter().zip(&states).find(|(_, states)| !states.are_at_end()).map(|(channel, _)| channel.index)
}
