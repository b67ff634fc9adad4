//! How often each residual comes in each context: the tables that residuals are coded by (rANS: asymmetric numeral
//! systems, J. Duda, 2013), as they are made, written and read.

use super::model::CONTEXTS;

/// Frequencies of a table add up to two to the power of this.
pub(super) const BITS: u32 = 9;
const SUM: usize = 1 << BITS;
/// States are renewed by words of 16 bits when they fall below this.
pub(super) const LEAST_STATE: u32 = 1 << 16;

/// How often each residual is taken to come, of [`SUM`]; by its byte.
pub(super) type Frequencies = [u16; 256];

/// Residuals in the order of their value, from -128, as bytes.
fn in_order() -> impl DoubleEndedIterator<Item = u8> {
    (0..=255u8).map(|i| i ^ 0x80)
}

/// Shares of [`SUM`] close to those of the counts, none of what comes at all zero.
pub(super) fn normalised(counts: &[u32; 256]) -> Frequencies {
    let mut frequencies = [0; 256];
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    if total == 0 {
        frequencies[0] = SUM as u16;
        return frequencies;
    }
    let mut sum = 0;
    let mut present: Vec<(usize, f32)> = Vec::with_capacity(64);
    for (symbol, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let share = (u64::from(count) * SUM as u64 * 2 + total) / (total * 2);
        frequencies[symbol] = share.max(1) as u16;
        sum += usize::from(frequencies[symbol]);
        present.push((symbol, count as f32));
    }
    // What is too much or too little is taken or given, one by one, where it costs least or gains most.
    while sum > SUM {
        let cost = |&(symbol, count): &(usize, f32)| count / (f32::from(frequencies[symbol]) - 0.5);
        let can_spare = present.iter().filter(|(symbol, _)| frequencies[*symbol] > 1);
        let least = can_spare.min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("at most 256 of at least 512");
        frequencies[least.0] -= 1;
        sum -= 1;
    }
    while sum < SUM {
        let gain = |&(symbol, count): &(usize, f32)| count / (f32::from(frequencies[symbol]) + 0.5);
        let most = present.iter().max_by(|a, b| gain(a).total_cmp(&gain(b))).expect("some residual");
        frequencies[most.0] += 1;
        sum += 1;
    }
    frequencies
}

/// Appends a table: the first residual that comes, less -128, how many follow to the last, and how often each of them
/// comes; 255 and two bytes where that is 255 and more.
pub(super) fn write(frequencies: &Frequencies, bytes: &mut Vec<u8>) {
    let ordered: Vec<u16> = in_order().map(|symbol| frequencies[usize::from(symbol)]).collect();
    let first = ordered.iter().position(|&f| f > 0).expect("a table has a residual");
    let last = ordered.iter().rposition(|&f| f > 0).expect("a table has a residual");
    bytes.extend([first as u8, (last - first) as u8]);
    for &frequency in &ordered[first..=last] {
        match u8::try_from(frequency) {
            Ok(byte) if byte < 255 => bytes.push(byte),
            _ => {
                bytes.push(255);
                bytes.extend(frequency.to_le_bytes());
            }
        }
    }
}

/// The most bytes that the tables of a channel have.
pub(super) const MOST_BYTES: usize = CONTEXTS * (2 + 256 * 3);

/// A slot of a table: the residual's byte, the slot's number among those of the residual, and the residual's frequency.
pub(super) type Slot = u32;
pub(super) const RANK_AT: u32 = 8;
pub(super) const RANK_BITS: u32 = 12;
pub(super) const FREQUENCY_AT: u32 = RANK_AT + RANK_BITS;

/// The table of lanes that are idle, after those of the contexts: it leaves every state as it is.
pub(super) const IDLE: usize = CONTEXTS;
/// Slots of a channel.
pub(super) const SLOTS: usize = (CONTEXTS + 1) << BITS;

/// What is wrong with tables.
pub(super) struct Malformed;

/// Reads the tables of a channel, of so many contexts, from the front of `bytes` into `slots`.
pub(super) fn read(bytes: &mut &[u8], slots: &mut [Slot; SLOTS], contexts: usize) -> Result<(), Malformed> {
    let (tables, idle) = slots.split_at_mut(IDLE << BITS);
    for table in &mut tables.as_chunks_mut::<SUM>().0[..contexts] {
        let [first, more] = *take(bytes)?;
        let mut rest = &mut table[..];
        for value in usize::from(first)..=usize::from(first) + usize::from(more) {
            let symbol = u8::try_from(value).map_err(|_| Malformed)? ^ 0x80;
            let frequency = match *take::<1>(bytes)? {
                [255] => u16::from_le_bytes(*take(bytes)?),
                [frequency] => u16::from(frequency),
            };
            let (these, others) = rest.split_at_mut_checked(frequency.into()).ok_or(Malformed)?;
            for (i, slot) in (0..).zip(these) {
                *slot = u32::from(symbol) | i << RANK_AT | u32::from(frequency) << FREQUENCY_AT;
            }
            rest = others;
        }
        if !rest.is_empty() {
            return Err(Malformed);
        }
    }
    for (i, slot) in (0..).zip(idle) {
        *slot = i << RANK_AT | (SUM as u32) << FREQUENCY_AT;
    }
    Ok(())
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// What a residual of a context does to a state.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    /// 2^(32 + [`BITS`]) / frequency, rounded up: dividing by multiplying, exact for every state that is not too large.
    reciprocal: u64,
    frequency: u32,
    start: u32,
}

impl Step {
    /// The steps of a table's residuals, by their bytes.
    pub(super) fn of(frequencies: &Frequencies) -> [Self; 256] {
        let mut steps = [Self::default(); 256];
        let mut start = 0;
        for symbol in in_order() {
            let frequency = u32::from(frequencies[usize::from(symbol)]);
            if frequency > 0 {
                let reciprocal = (1u64 << (32 + BITS)).div_ceil(frequency.into());
                steps[usize::from(symbol)] = Self { reciprocal, frequency, start };
                start += frequency;
            }
        }
        steps
    }

    /// Whether a state must give a word away before the step.
    #[inline]
    pub(super) fn is_full(self, state: u32) -> bool {
        state >> (32 - BITS) >= self.frequency
    }

    /// The state after the step.
    #[inline]
    pub(super) fn push(self, state: u32) -> u32 {
        let quotient = (u64::from(state).wrapping_mul(self.reciprocal) >> (32 + BITS)) as u32;
        let rest = state.wrapping_sub(quotient.wrapping_mul(self.frequency));
        (quotient << BITS).wrapping_add(rest).wrapping_add(self.start)
    }
}

/// A state before its step, and the residual's byte; the state may need a word ([`LEAST_STATE`]).
#[inline]
pub(super) fn pop(slots: &[Slot; SLOTS], context: usize, state: u32) -> (u8, u32) {
    let slot = slots[context << BITS | (state as usize & (SUM - 1))];
    let (frequency, rank) = (slot >> FREQUENCY_AT, slot >> RANK_AT & ((1 << RANK_BITS) - 1));
    (slot as u8, frequency.wrapping_mul(state >> BITS).wrapping_add(rank))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_add_up_and_steps_are_undone(counts in proptest::collection::vec(prop_oneof![Just(0), 0..5u32, 0..u32::MAX / 256], 256),
            state in LEAST_STATE..=u32::MAX) {
            let counts: [u32; 256] = counts.try_into().unwrap();
            let frequencies = normalised(&counts);
            prop_assert_eq!(frequencies.iter().map(|&f| usize::from(f)).sum::<usize>(), SUM);
            prop_assert!(counts.iter().sum::<u32>() == 0 || counts.iter().zip(&frequencies).all(|(&c, &f)| (c > 0) == (f > 0)));
            let mut bytes = Vec::new();
            (0..CONTEXTS).for_each(|_| write(&frequencies, &mut bytes));
            prop_assert!(bytes.len() <= MOST_BYTES);
            let mut slots = vec![0; SLOTS];
            let mut left = &bytes[..];
            prop_assert!(read(&mut left, slots.as_mut_array().unwrap(), CONTEXTS).is_ok() && left.is_empty());
            for (symbol, step) in Step::of(&frequencies).into_iter().enumerate().filter(|(s, _)| frequencies[*s] > 0) {
                let state = if step.is_full(state) { state >> 16 } else { state };
                prop_assert!(!step.is_full(state));
                prop_assert_eq!(pop(slots.as_array().unwrap(), 3, step.push(state)), (symbol as u8, state));
            }
            prop_assert_eq!(pop(slots.as_array().unwrap(), IDLE, state), (0, state));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&mut &bytes[..], vec![0; SLOTS].as_mut_array().unwrap(), CONTEXTS);
        }
    }
}
