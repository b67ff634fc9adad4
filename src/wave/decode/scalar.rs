//! Decoding a pixel at a time: what the codec is, and what other decoders are held to.

use crate::error::Result;
use crate::memory;

use super::channel::Channel;
use crate::wave::mode::Mode;
use crate::wave::model::{Model, NO_REFERENCE, around, predicted};
use crate::wave::tables::{LEAST_STATE, pop};

/// Decodes a channel into its plane, `[y, x]`; `residuals` is kept from channel to channel. Gives whether states and words
/// end as they must.
pub(super) fn decode(channel: &Channel, pixels: &mut [u8], residuals: &mut Vec<u8>) -> Result<bool> {
    let &Channel { shape, index, model, mode, slots, mut states, words, end } = channel;
    memory::resize(residuals, shape.pixels(), "residuals")?;
    let (plane, width) = (shape.plane(), shape.width);
    let (before, residuals) = residuals.split_at_mut(index * plane);
    let residuals = &mut residuals[..plane];
    let mut words = words[..end].as_chunks::<2>().0.iter();
    for at in shape.walk() {
        for (lane, state) in states.iter_mut().enumerate() {
            let Some((y, x)) = shape.at(at, lane) else { continue };
            let here = y * width + x;
            let references = model.references.map(|reference| match reference {
                NO_REFERENCE => 0,
                channel => before[usize::from(channel) * plane + here].cast_signed(),
            });
            let sum = model.sum(around(pixels, width, y, x, model.above), references);
            let context = match mode {
                Mode::Small => model.context(sum, Model::activity(around(residuals, width, y, x, 0), references)),
                Mode::Fast => 0,
            };
            let (residual, next) = pop(slots, context, *state);
            *state = next;
            if next < LEAST_STATE {
                let Some(word) = words.next() else { return Ok(false) };
                *state = next << 16 | u32::from(u16::from_le_bytes(*word));
            }
            residuals[here] = residual;
            pixels[here] = predicted(sum).wrapping_add(residual);
        }
    }
    Ok(words.len() == 0 && states.iter().all(|&state| state == LEAST_STATE))
}
