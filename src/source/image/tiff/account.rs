//! What of a file is named by its directories, and the most that lies together and is not. Pure.

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

    /// The longest part of a file of so many bytes that nothing names.
    pub(super) fn longest_gap(mut self, length: u64) -> Range<u64> {
        self.spans.sort_unstable_by_key(|span| span.start);
        self.spans.push(length..length);
        let (mut named, mut longest) = (0, 0..0);
        for span in self.spans {
            let gap = named..span.start.min(length).max(named);
            if gap.end - gap.start > longest.end - longest.start {
                longest = gap;
            }
            named = named.max(span.end.min(length));
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_found_wherever_it_is() {
        let gap = |spans: &[Range<u64>]| {
            let mut account = Account::default();
            account.add(spans.iter().cloned());
            account.longest_gap(20)
        };
        assert_eq!(gap(&[]), 0..20);
        assert_eq!(gap(&[0..8, 8..20]), 0..0);
        assert_eq!(gap(&[10..20, 0..7]), 7..10);
        assert_eq!(gap(&[0..7, 2..5, 9..12]), 12..20);
        assert_eq!(gap(&[0..12, 30..40]), 12..20);
        assert_eq!(gap(&[3..u64::MAX, 1..2]), 0..1);
        assert_eq!(gap(&[9..9, 0..9]), 9..20);
    }
}
