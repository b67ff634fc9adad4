//! Words for people: counts, and nouns and verbs that agree with them.

/// A count with thousands set apart: `125,510`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: `1 plate`, `204 plates`, `2 classes`.
#[must_use]
pub fn plural(n: u64, noun: &str) -> String {
    let ending = match (n, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", count(n))
}

/// The words that go with one, or with several: `agree(1, "is no image", "are no images")`.
#[must_use]
pub fn agree<'a>(n: u64, one: &'a str, several: &'a str) -> &'a str {
    if n == 1 { one } else { several }
}

/// Words as a shell takes them; nothing where one has a NUL, which no argument of a process has.
#[cfg(feature = "inspect")]
#[must_use]
pub fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    shlex::try_join(words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_agree_with_their_number() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(125_510), "125,510");
        assert_eq!(plural(1, "class"), "1 class");
        assert_eq!(plural(0, "class"), "0 classes");
        assert_eq!(plural(1108, "site"), "1,108 sites");
        assert_eq!((agree(1, "is", "are"), agree(0, "is", "are")), ("is", "are"));
    }
}
