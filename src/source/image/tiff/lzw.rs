//! LZW as TIFF has it (TIFF 6.0, section 13): codes of 9 to 12 bits, the first bit first, each width one code early.
//! Pure.
//!
//! Most codes of a noisy image stand for two or three bytes. So the first eight bytes of each string are in the table
//! and are stored by one write, whatever its length; longer strings are copied from where they were unpacked before.
//! The loop is built for each width of codes by itself.

/// A code of 12 bits for a string of 3,837 bytes, again and again.
pub(super) const MOST_UNPACKED: u64 = 2560;

const CLEAR: usize = 256;
const END: usize = 257;
const FIRST: usize = 258;
const FULL: usize = 4096;

/// What is wrong with a strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LzwFault {
    /// It does not begin with the code that clears the table.
    NoClear,
    /// A code that was not made yet.
    UnknownCode,
    /// More bytes than there is room for.
    TooLong,
}

/// A string: its first eight bytes, its length, and where it was unpacked, but for its last byte.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    bytes: u64,
    length: u32,
    at: u32,
}

impl Text {
    /// This string and the first byte of another one; `at` is where this one was unpacked.
    fn and(self, first: u64, at: usize) -> Self {
        let bytes = self.bytes | (first & 0xff).checked_shl(8 * self.length).unwrap_or(0);
        Self { bytes, length: self.length + 1, at: at as u32 }
    }
}

/// The table of an unpacker, used again for each strip.
pub(super) struct Lzw {
    table: Box<[Text; FULL]>,
}

/// Where unpacking is.
struct State<'a> {
    packed: &'a [u8],
    /// Bits that were taken from `packed`, the next one the highest, and how many they are.
    bits: u64,
    n_bits: u32,
    out: &'a mut [u8],
    /// Bytes of `out` that are filled.
    filled: usize,
    /// The code that the next string gets.
    next: usize,
    /// The last string, and where it was unpacked.
    last: Text,
    last_at: usize,
}

/// Why the loop of one width ended.
enum Stop {
    Wider,
    Clear,
    End,
}

impl Default for Lzw {
    fn default() -> Self {
        let table = vec![Text::default(); FULL].into_boxed_slice();
        let mut table: Box<[Text; FULL]> = table.try_into().expect("it is made that long");
        for (byte, text) in table[..CLEAR].iter_mut().enumerate() {
            *text = Text { bytes: byte as u64, length: 1, at: 0 };
        }
        Self { table }
    }
}

impl Lzw {
    /// Unpacks into `out`; how many bytes of it were filled. Ends at the code for it, at the end of `packed`, or with
    /// the code that is one too many.
    pub(super) fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Result<usize, LzwFault> {
        if !matches!(packed, [0x80, second, ..] if *second < 0x80) {
            return Err(LzwFault::NoClear);
        }
        let (bits, last) = (0, Text::default());
        let mut state = State { packed, bits, n_bits: 0, out, filled: 0, next: FIRST, last, last_at: 0 };
        let mut width = 9;
        loop {
            let stop = match width {
                9 => self.codes::<9>(&mut state),
                10 => self.codes::<10>(&mut state),
                11 => self.codes::<11>(&mut state),
                _ => self.codes::<12>(&mut state),
            }?;
            match stop {
                Stop::Wider => width += 1,
                Stop::Clear => {
                    width = 9;
                    // The first code after it makes no string: what it makes is put where no code finds it.
                    state.next = END;
                    state.last = Text::default();
                }
                Stop::End => return Ok(state.filled),
            }
        }
    }

    /// Unpacks codes of `WIDTH` bits.
    fn codes<const WIDTH: u32>(&mut self, state: &mut State) -> Result<Stop, LzwFault> {
        let table = &mut *self.table;
        let State { mut packed, mut bits, mut n_bits, mut filled, mut next, mut last, mut last_at, .. } = *state;
        let out = &mut *state.out;
        let stop = loop {
            if n_bits < WIDTH {
                if let Some(eight) = packed.first_chunk() {
                    bits |= u64::from_be_bytes(*eight) >> n_bits;
                    packed = &packed[(63 - n_bits as usize) / 8..];
                    n_bits |= 0x38;
                } else {
                    while n_bits <= 56
                        && let Some((byte, rest)) = packed.split_first()
                    {
                        bits |= u64::from(*byte) << (56 - n_bits);
                        packed = rest;
                        n_bits += 8;
                    }
                    if n_bits < WIDTH {
                        break Ok(Stop::End);
                    }
                }
            }
            let code = (bits >> (64 - WIDTH)) as usize;
            bits <<= WIDTH;
            n_bits -= WIDTH;
            if code >= next {
                // The string that this code is about to make: the last one and its own first byte.
                if code > next {
                    break Err(LzwFault::UnknownCode);
                }
                table[code] = last.and(last.bytes, last_at);
            }
            if code & !1 == CLEAR {
                break Ok(if code == END { Stop::End } else { Stop::Clear });
            }
            let text = table[code];
            if WIDTH < 12 || next < FULL {
                table[next] = last.and(text.bytes, last_at);
                next += 1;
            }
            let length = text.length as usize;
            if length <= 8 && filled + 8 <= out.len() {
                out[filled..filled + 8].copy_from_slice(&text.bytes.to_le_bytes());
            } else if length > out.len() - filled {
                break Err(LzwFault::TooLong);
            } else if length <= 8 {
                out[filled..filled + length].copy_from_slice(&text.bytes.to_le_bytes()[..length]);
            } else {
                // Its last byte is the first one of what followed, which may be this string itself.
                let (from, to) = (text.at as usize, text.at as usize + length - 1);
                out.copy_within(from..to, filled);
                out[filled + length - 1] = out[to];
            }
            (last, last_at) = (text, filled);
            filled += length;
            if WIDTH < 12 && next + 1 >= 1 << WIDTH {
                break Ok(Stop::Wider);
            }
        };
        (state.packed, state.bits, state.n_bits, state.filled) = (packed, bits, n_bits, filled);
        (state.next, state.last, state.last_at) = (next, last, last_at);
        stop
    }
}
