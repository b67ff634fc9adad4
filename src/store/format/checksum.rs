//! SHA-256 and crc32c, and the hex they are written in.

use std::fmt;
use std::io::{self, Write};

use sha2::{Digest, Sha256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha(pub [u8; 32]);

impl Sha {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 digits: enough to tell two files apart in a message.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{self}")[..12].to_owned() + "..."
    }

    /// Parses 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut sha = [0; 32];
        for (byte, pair) in sha.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(sha))
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of a crc32c, as it stands behind what is compressed.
pub const CRC_BYTES: usize = size_of::<u32>();

/// The crc32c (CRC-32/ISCSI) of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// A crc32c that is computed bit by bit.
pub(crate) struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// That of nothing yet.
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes more bytes in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What it comes to.
    pub(crate) fn finish(&self) -> u32 {
        // A CRC of 32 bits in the crate's 64.
        self.0.finalize() as u32
    }
}

/// Parses a crc32c of 8 lower-case hex digits.
#[must_use]
pub fn parse_crc32c(text: &str) -> Option<u32> {
    let plain = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// A crc32c as a cell of a CSV: 8 lower-case hex digits.
pub(crate) mod crc32c_hex {
    use serde::de::{Deserialize, Deserializer, Error, Unexpected};
    use serde::ser::Serializer;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
    pub(crate) fn serialize<S: Serializer>(crc32c: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{crc32c:08x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        super::parse_crc32c(text)
            .ok_or_else(|| Error::invalid_value(Unexpected::Str(text), &"a crc32c of 8 hex digits"))
    }
}

/// A writer that hashes and counts what goes through it.
pub struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps a writer.
    pub fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The writer, the SHA-256 and the size of what was written.
    pub fn finish(self) -> (W, Sha, u64) {
        (self.inner, Sha(self.hash.finalize().into()), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc32c_is_that_of_another_implementation_at_any_length_and_in_parts() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for length in [0, 1, 15, 16, 127, 255, 256, 257, 4096, 65_535, 100_000] {
            let bytes = &bytes[..length];
            assert_eq!(crc32c(bytes), ::crc32c::crc32c(bytes), "{length}");
            let mut parts = Crc32c::new();
            bytes.chunks(1000).for_each(|part| parts.update(part));
            assert_eq!(parts.finish(), crc32c(bytes), "{length}");
        }
    }

    #[test]
    fn hex_is_read_back_and_only_lower_case_of_the_right_length() {
        let sha = Sha::of(b"abc");
        assert_eq!(sha.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Sha::parse(&sha.to_string()), Some(sha));
        assert_eq!(Sha::parse(&sha.to_string().to_uppercase()), None);
        assert_eq!(Sha::parse(&sha.to_string()[1..]), None);
        assert_eq!(parse_crc32c("0f00ba12"), Some(0x0f00_ba12));
        for text in ["0F00BA12", "+f00ba12", "f00ba12", ""] {
            assert_eq!(parse_crc32c(text), None, "{text}");
        }
    }
}
