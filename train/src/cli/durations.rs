//! Durations as people and Slurm write them. Pure.

use std::time::Duration;

/// Parses `8h45m` and its like, and what Slurm takes for `--time` and prints for the time left: `MM`, `MM:SS`,
/// `HH:MM:SS`, `D-HH`, `D-HH:MM` and `D-HH:MM:SS`. So a bare number is minutes.
///
/// # Errors
/// If it is neither.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let is_slurm = text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '-');
    let parsed = if is_slurm { of_slurm(text) } else { humantime::parse_duration(text).ok() };
    parsed.ok_or_else(|| {
        "expected a duration such as 8h45m or 90s, or as Slurm has it: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS"
            .to_owned()
    })
}

/// A duration of Slurm's. Its first part may be as long as it likes, the others no longer than they have names for.
fn of_slurm(text: &str) -> Option<Duration> {
    let (days, rest) = text.split_once('-').map_or((None, text), |(days, rest)| (Some(days), rest));
    let parts: Vec<&str> = days.into_iter().chain(rest.split(':')).collect();
    // The seconds of each part, and how many of it the next longer one has.
    let units: &[(u64, u64)] = match (days, parts.len()) {
        (Some(_), 2..=4) => &[(86_400, 0), (3600, 24), (60, 60), (1, 60)][..parts.len()],
        (None, 1) => &[(60, 0)],
        (None, 2) => &[(60, 0), (1, 60)],
        (None, 3) => &[(3600, 0), (60, 60), (1, 60)],
        _ => return None,
    };
    let mut seconds = 0_u64;
    for (i, (part, (unit, most))) in parts.iter().zip(units).enumerate() {
        let n: u64 = part.parse().ok()?;
        if i > 0 && n >= *most {
            return None;
        }
        seconds = seconds.checked_add(n.checked_mul(*unit)?)?;
    }
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_people_and_of_slurm() {
        for (text, seconds) in [
            ("8h45m", 8 * 3600 + 45 * 60),
            ("8h 45m", 8 * 3600 + 45 * 60),
            ("90s", 90),
            ("0s", 0),
            ("30", 30 * 60),
            ("0", 0),
            ("0:30", 30),
            ("90:00", 90 * 60),
            ("08:45:00", 8 * 3600 + 45 * 60),
            ("36:00:00", 36 * 3600),
            ("2-0", 2 * 86_400),
            ("1-12", 36 * 3600),
            ("1-02:03", 26 * 3600 + 180),
            ("1-02:03:04", 26 * 3600 + 184),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "x",
            "8x",
            "-30",
            "30-",
            ":30",
            "30:",
            "1-",
            "1-2-3",
            "1:2:3:4",
            "1-1:2:3:4",
            "00:60",
            "1:60:00",
            "1-24",
            "1-23:60",
            "8:45h",
            "+30",
            "1--2",
            "UNLIMITED",
            "99999999999999999999",
            "999999999999999999-00",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
