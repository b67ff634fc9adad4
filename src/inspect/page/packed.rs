//! Numbers as a page carries them: little-endian, in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Values of 16 bits between two ends.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scaled {
    /// What 0 stands for.
    pub(crate) low: f64,
    /// What 65,534 stands for; 65,535 is no value.
    pub(crate) high: f64,
    /// The values, in base64.
    pub(crate) values: String,
}

/// Words of 32 bits.
#[must_use]
pub(crate) fn words(values: impl IntoIterator<Item = u32>) -> String {
    STANDARD.encode(values.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
}

/// Bytes.
#[must_use]
pub(crate) fn bytes(values: impl AsRef<[u8]>) -> String {
    STANDARD.encode(values)
}

/// Values as 16 bits between their ends.
#[must_use]
pub(crate) fn scaled(values: &[f64]) -> Scaled {
    let known = values.iter().filter(|value| value.is_finite());
    let (low, high) = known.fold((f64::MAX, f64::MIN), |(low, high), &value| (low.min(value), high.max(value)));
    let (low, high) = if low > high { (0.0, 0.0) } else { (low, high) };
    let width = if high > low { high - low } else { 1.0 };
    let word = |value: &f64| {
        if value.is_finite() { ((value - low) / width * 65_534.0).round() as u16 } else { u16::MAX }
    };
    let values = STANDARD.encode(values.iter().map(word).flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    Scaled { low, high, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_to_within_a_step() {
        let values = [3.0, f64::NAN, -1.0, 7.25];
        let Scaled { low, high, values: text } = scaled(&values);
        let bytes = STANDARD.decode(text).unwrap();
        let words: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|&word| u16::from_le_bytes(word)).collect();
        assert_eq!((low, high, words[1], words[2], words[3]), (-1.0, 7.25, u16::MAX, 0, 65_534));
        let back = low + f64::from(words[0]) / 65_534.0 * (high - low);
        assert!((back - 3.0).abs() < (high - low) / 65_534.0);
        assert_eq!(scaled(&[5.0, 5.0]).values, STANDARD.encode([0; 4]));
        assert_eq!(scaled(&[f64::NAN]).values, STANDARD.encode([255; 2]));
    }
}
