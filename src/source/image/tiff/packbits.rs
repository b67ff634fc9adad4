//! `PackBits` (TIFF 6.0, section 9): runs and literals, each led by a byte that says how long it is. Pure.

/// A run of 128 bytes takes two.
pub(super) const MOST_UNPACKED: u64 = 64;

/// Unpacks into `out`; how many bytes of it were filled, at most all, or nothing if there are more.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut from, mut at) = (packed, 0);
    while at < out.len()
        && let Some((&head, rest)) = from.split_first()
    {
        let length = usize::from(head) + 1;
        let room = out.len() - at;
        match head {
            0..=127 => {
                let n = length.min(rest.len());
                if n > room {
                    return None;
                }
                out[at..at + n].copy_from_slice(&rest[..n]);
                at += n;
                from = &rest[n..];
            }
            128 => from = rest,
            129.. => {
                let Some((&value, rest)) = rest.split_first() else { break };
                let n = 258 - length;
                if n > room {
                    return None;
                }
                out[at..at + n].fill(value);
                at += n;
                from = rest;
            }
        }
    }
    // Some writers fill up to a whole number of bytes; runs and literals of pixels are no zeros alone.
    from.iter().all(|byte| matches!(byte, 0 | 128)).then_some(at)
}
