//! What of a file is named by its directories, what lies together and is not, and whether that is a text. Pure.

use std::ops::Range;

/// The parts of a file that something names.
#[derive(Debug, Default)]
pub(super) struct Account {
    spans: Vec<Range<u64>>,
}

impl Account {
    pub(super) fn add(&mut self, spans: impl IntoIterator<Item = Range<u64>>) {
        self.spans.extend(spans);
    }

    /// The parts of a file of so many bytes that nothing names and that have at least `n` bytes, in their order.
    pub(super) fn gaps(mut self, length: u64, n: u64) -> Vec<Range<u64>> {
        self.spans.sort_unstable_by_key(|span| span.start);
        self.spans.push(length..length);
        let (mut named, mut gaps) = (0, Vec::new());
        for span in self.spans {
            let gap = named..span.start.min(length).max(named);
            if gap.end - gap.start >= n.max(1) {
                gaps.push(gap);
            }
            named = named.max(span.end.min(length));
        }
        gaps
    }

    /// The first byte that two of the parts have.
    pub(super) fn overlap(&self) -> Option<u64> {
        let mut spans: Vec<&Range<u64>> = self.spans.iter().filter(|span| !span.is_empty()).collect();
        spans.sort_unstable_by_key(|span| span.start);
        spans.windows(2).find(|two| two[1].start < two[0].end).map(|two| two[1].start)
    }
}

/// Characters that are frequent in pixels of any kind, and rare in a text that is written.
const RARE: [u8; 12] = *b"~^|`@$%&*!?\\";

/// Whether bytes are a text, such as a description that another took the place of, or the zeros of one that was
/// cleared. A packed image is no text, nor are samples of two bytes; those of one may be letters, and then words are
/// asked for.
pub(super) fn is_text(bytes: &[u8], may_be_letters: bool) -> bool {
    let is_end = |byte: &u8| *byte == 0;
    let start = bytes.iter().position(|byte| !is_end(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
    // Samples of two bytes have zeros among them.
    if 16 * bytes[start..end].iter().filter(|byte| is_end(byte)).count() > end - start {
        return false;
    }
    // What took its place may have cut a letter of several bytes.
    let is_within = |byte: &&u8| **byte & 0xc0 == 0x80;
    let start = start + bytes[start..end].iter().take(3).take_while(is_within).count();
    let Ok(text) = std::str::from_utf8(&bytes[start..end]) else { return false };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\0' | '\t' | '\n' | '\r')) {
        return false;
    }
    let of = |part: &[u8], is: fn(&u8) -> bool| part.iter().filter(|byte| is(byte)).count();
    let is_of_words = |part: &[u8]| {
        let between = of(part, |byte| byte.is_ascii_whitespace() || b"<>=\",;:{}()/\0".contains(byte));
        let rare = of(part, |byte| RARE.contains(byte));
        let letters = of(part, u8::is_ascii_lowercase);
        30 * between >= part.len() && 30 * rare <= part.len() && 8 * letters >= part.len()
    };
    let (parts, rest) = text.as_bytes().as_chunks::<512>();
    !may_be_letters
        || text.is_empty()
        || if parts.is_empty() { is_of_words(rest) } else { parts.iter().all(|part| is_of_words(part)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_wherever_they_are() {
        let gaps = |spans: &[Range<u64>], n: u64| {
            let mut account = Account::default();
            account.add(spans.iter().cloned());
            account.gaps(20, n)
        };
        let one = |gap: Range<u64>| vec![gap];
        assert_eq!(gaps(&[], 20), one(0..20));
        assert_eq!(gaps(&[], 21), []);
        assert_eq!(gaps(&[0..8, 8..20], 0), []);
        assert_eq!(gaps(&[10..20, 0..7], 1), one(7..10));
        assert_eq!(gaps(&[0..7, 2..5, 9..12], 1), [7..9, 12..20]);
        assert_eq!(gaps(&[0..7, 2..5, 9..12], 3), one(12..20));
        assert_eq!(gaps(&[0..12, 30..40], 1), one(12..20));
        assert_eq!(gaps(&[3..u64::MAX, 1..2], 1), [0..1, 2..3]);
        assert_eq!(gaps(&[9..9, 0..9], 1), one(9..20));
    }

    #[test]
    fn the_first_byte_of_two_parts_is_found() {
        let overlap = |spans: &[Range<u64>]| {
            let mut account = Account::default();
            account.add(spans.iter().cloned());
            account.overlap()
        };
        assert_eq!(overlap(&[0..8, 8..20, 8..8, 3..3]), None);
        assert_eq!(overlap(&[9..20, 0..8, 12..13]), Some(12));
        assert_eq!(overlap(&[0..8, 8..9, 8..9]), Some(8));
        assert_eq!(overlap(&[8..12, 4..9]), Some(8));
    }

    #[test]
    fn what_is_written_is_a_text_and_pixels_are_none() {
        let xml = "<Channel ID=\"Channel:0:1\" Name=\"DAPI\" PhysicalSizeX=\"0.65\" Unit=\"\u{b5}m\"/>\n".repeat(80);
        let json = "{\"shape\": [3, 5, 6], \"axes\": \"CYX\", \"spacing\": 0.65} ".repeat(80);
        for text in [&xml, &json] {
            for is_raw in [false, true] {
                assert!(is_text(text.as_bytes(), is_raw), "{text}");
                assert!(is_text(&[&[0; 9], text.as_bytes(), &[0; 900]].concat(), is_raw), "{text}");
            }
        }
        let cut = xml.as_bytes().iter().position(|byte| *byte == 0xb5).unwrap();
        assert!(is_text(&xml.as_bytes()[cut..], true), "cut within a letter");
        assert!(is_text(&[b'z'; 9000], false));
        assert!(is_text(&[0; 9000], false) && is_text(&[0; 9000], true), "nothing lies there");
        assert!(!is_text(&[&[0; 900][..], &[7, 0, 0, 9], &[0; 900]].concat(), true), "few pixels that are not black");
        let noise = |low: u8, n: u32| -> Vec<u8> {
            (0..9000_u32).map(|i| low + (i.wrapping_mul(2_654_435_761).rotate_left(9) % n) as u8).collect()
        };
        for pixels in
            [vec![b'z'; 9000], noise(32, 95), noise(90, 30), noise(100, 9), noise(48, 40), noise(32, 30), noise(44, 8)]
        {
            assert!(!is_text(&pixels, true), "{}", pixels[0]);
        }
        let of_two_bytes: Vec<u8> = noise(90, 30).into_iter().flat_map(|byte| [byte, 0]).collect();
        for pixels in [of_two_bytes, noise(0, 255), noise(1, 60)] {
            assert!(!is_text(&pixels, false), "{:?}", pixels.first());
        }
    }
}
